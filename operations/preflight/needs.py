"""What a deployment needs of a cluster and of registries, from its stack's configuration."""

from dataclasses import dataclass, field

from components.access import READABLE
from components.cluster import OWNED, labels
from components.inference_service import NAME
from components.kserve import Predictor, render_annotations, render_labels, render_spec
from components.storage import CLAIM
from ft_serving.cluster.documents import Document
from stacks.config import StackConfig
from stacks.sections import ImageSource, Mode
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
class Needs:
    """A stack that is to be deployed, as it is configured and as its service is rendered.

    Attributes:
        stack: Its name.
        config: Its configuration.
        service: The InferenceService, as it would be created.
        password: Of `image.username`; None where it is not known here.
    """

    stack: str
    config: StackConfig
    service: Document
    password: str | None = field(default=None, repr=False)

    @property
    def namespace(self) -> str:
        """The stack's namespace."""
        return self.config.cluster.namespace

    @property
    def serverless(self) -> bool:
        """Whether Knative runs the service; else KServe's Standard mode does."""
        return self.config.serving.mode is Mode.SERVERLESS

    @property
    def predictor(self) -> Document:
        """The specification of the server's pods, and of their scaling."""
        spec: Document = self.service["spec"]["predictor"]
        return spec

    @property
    def sources(self) -> tuple[ImageSource, ...]:
        """Where the images come from: each is built, or one that exists."""
        images = self.config.image
        return images.server, images.weights, images.client

    @property
    def replicas_at_first(self) -> int:
        """Replicas of a first deployment: one, even where none has to stay."""
        return max(1, self.config.scaling.min)


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
    return Needs(stack=stack, config=config, service=_service(config), password=password)


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


def permissions(config: StackConfig) -> tuple[Permission, ...]:
    """Return what whoever deploys a stack has to be allowed."""
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
