"""What a deployment needs of a cluster and of registries, from its stack's configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.access import READABLE
from components.inference_service import NAME
from components.jobs import GATE_RESOURCES, RESERVED_CPU
from components.kserve import Predictor, render_annotations, render_labels, render_spec
from components.labels import OWNED, STACK, labels
from components.storage import CLAIM
from ft_serving.cluster.diagnosis.documents import Document
from stacks.config import StackConfig
from stacks.resolved import ContainerResources
from stacks.sections import Mode
from stacks.versions import INFERENCE_SERVICE_API, INFERENCE_SERVICE_KIND


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Permission:
    """A verb on a kind, as access reviews have them.

    Attributes:
        group: The API group; empty for the core.
        resource: The resource's name, with its subresource, as `pods/log`.
        verb: What is done.
        namespaced: Whether the kind lives in a namespace.
    """

    group: str
    resource: str
    verb: str
    namespaced: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The volume to claim.

    Attributes:
        name: Its name.
        size: Quantity of bytes.
        storage_class: None for the cluster's default.
        access_mode: As the API has it.
    """

    name: str
    size: str
    storage_class: str | None
    access_mode: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    """Where images are pushed to, and which are there already.

    Attributes:
        host: Host and port.
        repository: Path of an image in it that credentials must be good for.
        pushes: Whether images are built and pushed.
        username: Who logs in; None for nobody.
        password: Their password; None where it is not known here.
        existing: Images by their digest.
    """

    host: str
    repository: str
    pushes: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    existing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a deployment needs.

    Attributes:
        namespace: Its namespace.
        service: The InferenceService, as it would be created.
        own_labels: Labels of all that the deployment made.
        stack_mark: The annotation by which its namespace names its stack, and the stack.
        serverless: Whether Knative runs it; else KServe's Standard mode does.
        min_replicas: Fewest replicas.
        max_replicas: Most replicas.
        spare: Whether a rollout runs one replica more.
        node_labels: Labels of the nodes that the server may run on, each with its values.
        gate: What each waiting Job requests beside it.
        download: What the Job that fetches the model requests.
        claim: The volume.
        permissions: What whoever deploys has to be allowed.
        registry: Where images are.
    """

    namespace: str
    service: Document
    own_labels: Mapping[str, str]
    stack_mark: tuple[str, str]
    serverless: bool
    min_replicas: int
    max_replicas: int
    spare: bool
    node_labels: Mapping[str, tuple[str, ...]]
    gate: Document
    download: Document
    claim: Claim
    permissions: tuple[Permission, ...]
    registry: Registry

    @property
    def predictor(self) -> Document:
        """The specification of the server's pods, and of their scaling."""
        spec: Document = self.service["spec"]["predictor"]
        return spec

    @property
    def server(self) -> Document:
        """Requests and limits of the server's container."""
        resources: Document = self.predictor["containers"][0]["resources"]
        return resources

    @property
    def replicas_at_first(self) -> int:
        """Replicas of a first deployment: one, even where none has to stay."""
        return max(1, self.min_replicas)


_VERBS = ("create", "delete", "get", "list", "patch", "watch")
"""What Pulumi's Kubernetes provider does with what it makes: server-side apply, and waiting."""

_MADE = {
    "": ("persistentvolumeclaims", "serviceaccounts"),
    "batch": ("jobs",),
    "networking.k8s.io": ("networkpolicies",),
    "rbac.authorization.k8s.io": ("rolebindings", "roles"),
    "serving.kserve.io": ("inferenceservices",),
}
"""The kinds that the program creates in its namespace, by API group."""

_UNKNOWN_IMAGE = f"registry.invalid/server@sha256:{'0' * 64}"
"""Stands for an image that is not built yet: webhooks ask for one by its digest."""


def needs_of(stack: str, config: StackConfig, password: str | None) -> Needs:
    """Return what a stack needs.

    Args:
        stack: Its name.
        config: Its configuration.
        password: Of `image.username`; None where it is not known.
    """
    serverless = config.serving.mode is Mode.SERVERLESS
    own = {
        key: labels("")[key] for key in ("app.kubernetes.io/name", "app.kubernetes.io/managed-by")
    }
    return Needs(
        namespace=config.cluster.namespace,
        service=_service(config),
        own_labels=own,
        stack_mark=(STACK, stack),
        serverless=serverless,
        min_replicas=config.scaling.min,
        max_replicas=config.scaling.max,
        spare=config.scheduling.spare_gpu,
        node_labels={it.key: it.values for it in config.node_requirements},
        gate=_job(GATE_RESOURCES),
        download=_job(config.job_resources),
        claim=Claim(
            name=CLAIM,
            size=config.storage.size,
            storage_class=config.storage.storage_class,
            access_mode=config.storage.access_mode.value,
        ),
        permissions=_permissions(config),
        registry=_registry(config, password),
    )


def _service(config: StackConfig) -> Document:
    """The InferenceService, as the program renders it."""
    server = config.image.server.existing or _UNKNOWN_IMAGE
    predictor = Predictor(config=config, account="ft-serving-server", image=server, claim=CLAIM)
    return {
        "apiVersion": INFERENCE_SERVICE_API,
        "kind": INFERENCE_SERVICE_KIND,
        "metadata": {
            "name": NAME,
            "labels": {**labels("server"), **render_labels(config.serving)},
            "annotations": {**OWNED, **render_annotations(config.serving.mode)},
        },
        "spec": render_spec(predictor),
    }


def _job(resources: ContainerResources) -> Document:
    limits = {"cpu": resources.cpu, "memory": resources.memory}
    return {"requests": {**limits, "cpu": RESERVED_CPU}, "limits": limits}


def _permissions(config: StackConfig) -> tuple[Permission, ...]:
    namespace = [
        Permission(group="", resource="namespaces", verb=verb, namespaced=False)
        for verb in ("create", "get", "patch")
    ]
    made = [
        Permission(group=group, resource=resource, verb=verb)
        for group, resources in _MADE.items()
        for resource in resources
        for verb in _VERBS
    ]
    # Passwords and tokens, and what Pulumi tells of pods.
    secrets = [Permission(group="", resource="secrets", verb=verb) for verb in _VERBS]
    # Nobody can grant the gate what they may not do themselves.
    granted = [
        Permission(group=group, resource=resource, verb=verb)
        for group, resources in READABLE.items()
        for resource in resources
        for verb in ("get", "list", "watch")
    ]
    granted.append(Permission(group="serving.knative.dev", resource="revisions", verb="delete"))
    with_secrets = config.image.username is not None
    return tuple(sorted({*namespace, *made, *(secrets if with_secrets else ()), *granted}))


def _registry(config: StackConfig, password: str | None) -> Registry:
    images = config.image
    sources = (images.server, images.weights, images.client)
    return Registry(
        host=images.registry,
        repository=f"{images.folder}/{config.engine.image}",
        pushes=any(it.existing is None for it in sources),
        username=images.username,
        password=password,
        existing=tuple(it.existing for it in sources if it.existing is not None),
    )
