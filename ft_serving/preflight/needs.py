"""What a deployment needs of a cluster and of registries."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ft_serving.diagnosis.documents import Document


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
