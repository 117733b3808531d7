"""The needs of a deployment, from its stack's configuration."""

from dataclasses import dataclass, field

from components.access import READABLE
from components.cluster import OWNED, labels
from components.inference_service import render_spec
from components.kserve import NAME, Predictor, render_annotations, render_labels
from components.storage import CLAIM
from components.transformer import Transformer
from ft_serving.cluster.documents import Document
from stacks.config import StackConfig
from stacks.sections import ImageSource, Mode
from stacks.versions import INFERENCE_SERVICE_API, INFERENCE_SERVICE_KIND


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Permission:
    """A verb on a kind, as access reviews have them."""

    group: str  # The API group; empty for the core.
    resource: str  # The resource's name, with its subresource, as `pods/log`.
    verb: str
    namespaced: bool = True  # Whether the kind lives in a namespace.


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """A stack that is to be deployed."""

    stack: str
    config: StackConfig  # Its configuration.
    service: Document  # The InferenceService, as it would be created.
    # The password of `image.username`; None where it is not known here.
    password: str | None = field(default=None, repr=False)

    @property
    def namespace(self) -> str:
        """Return the stack's namespace."""
        return self.config.cluster.namespace

    @property
    def serverless(self) -> bool:
        """Return whether Knative runs the service; else KServe's Standard mode does."""
        return self.config.serving.mode is Mode.SERVERLESS

    @property
    def predictor(self) -> Document:
        """Return the specification of the server's pods, and of their scaling."""
        spec: Document = self.service["spec"]["predictor"]
        return spec

    @property
    def components(self) -> tuple[Document, ...]:
        """Return the specifications of all pods of the service: the server's, and the API's."""
        return tuple(self.service["spec"].values())

    @property
    def sources(self) -> tuple[ImageSource, ...]:
        """Return the sources of the images: each is built, or exists already."""
        images = self.config.image
        api = (images.openai,) if self.config.serving.openai else ()
        return images.server, images.weights, images.client, *api

    @property
    def replicas_at_first(self) -> int:
        """Return the replicas of a first deployment: one, even where none has to stay."""
        return max(1, self.config.scaling.min)


_VERBS = ("create", "delete", "get", "list", "patch", "watch")
"""Verbs of Pulumi's Kubernetes provider: server-side apply, and waiting."""

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
    """Return the needs of a stack; the password is that of `image.username`, where it is known."""
    server = config.image.server.existing or _UNKNOWN_IMAGE
    predictor = Predictor(config=config, account="ft-serving-server", image=server, claim=CLAIM)
    transformer = None
    if config.serving.openai:
        image = config.image.openai.existing or _UNKNOWN_IMAGE
        transformer = Transformer(account="ft-serving-openai", image=image)
    service = {
        "apiVersion": INFERENCE_SERVICE_API,
        "kind": INFERENCE_SERVICE_KIND,
        "metadata": {
            "name": NAME,
            "labels": {**labels("server"), **render_labels(config.serving)},
            "annotations": {**OWNED, **render_annotations(config.serving.mode)},
        },
        "spec": render_spec(predictor, transformer),
    }
    return Needs(stack=stack, config=config, service=service, password=password)


def permissions(config: StackConfig) -> tuple[Permission, ...]:
    """Return the permissions that the user who deploys a stack needs."""
    namespace = {
        Permission(group="", resource="namespaces", verb=verb, namespaced=False)
        for verb in ("create", "get", "patch")
    }
    made = [(group, resource) for group, resources in _MADE.items() for resource in resources]
    if config.image.username is not None:
        made.append(("", "secrets"))
    if config.serving.chat_template is not None:
        made.append(("", "configmaps"))
    # Nobody can grant the gate what they may not do themselves.
    granted = [(group, resource) for group, resources in READABLE.items() for resource in resources]
    asked = {
        Permission(group=group, resource=resource, verb=verb)
        for kinds, verbs in ((made, _VERBS), (granted, ("get", "list", "watch")))
        for group, resource in kinds
        for verb in verbs
    }
    deletion = Permission(group="serving.knative.dev", resource="revisions", verb="delete")
    return tuple(sorted({*namespace, *asked, deletion}))
