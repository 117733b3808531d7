"""What an API server and registries say before a deployment, and what of it would be in the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ft_serving.cluster.documents import Document, name
from operations.preflight.needs import Permission


class FactKind(StrEnum):
    """What is read; the value says it in words."""

    NODES = "nodes"
    PODS = "pods of all namespaces"
    STORAGE_CLASSES = "storage classes"
    KSERVE = "KServe's Deployments"
    KNATIVE = "Knative's Deployments"
    KNATIVE_CONFIG = "Knative's ConfigMaps"
    NAMESPACE = "the namespace"
    QUOTAS = "quotas of the namespace"
    CLAIM = "the claim"
    SERVICE = "the InferenceService"


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryAnswer:
    """How a registry answers.

    Attributes:
        reached: Whether it answers at all.
        reason: Why not, or why it refuses; empty where it does not.
        refused: Whether it refuses the login.
        missing: Whether what was asked for is not there.
    """

    reached: bool
    reason: str = ""
    refused: bool = False
    missing: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What there is.

    Attributes:
        version: Kubernetes' version, as `v1.34.4`.
        groups: API groups, each with the versions that are served.
        objects: The objects of each kind; None where they may not be read.
        denied: What whoever asks is not allowed.
        refusals: What the API server said to creations that were only tried, by kind.
        registry: How the registry of pushes answers; None where it was not asked.
        images: How registries answer about images that have to exist.
    """

    version: str
    groups: Mapping[str, Sequence[str]]
    objects: Mapping[FactKind, Sequence[Document] | None]
    denied: Sequence[Permission] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    registry: RegistryAnswer | None = None
    images: Mapping[str, RegistryAnswer] = field(default_factory=dict)

    def all(self, kind: FactKind) -> Sequence[Document]:
        """The objects of a kind; none where they may not be read."""
        return self.objects.get(kind) or ()

    def unread(self) -> list[FactKind]:
        """What may not be read."""
        return [kind for kind, found in self.objects.items() if found is None]

    def config(self, name_of_map: str) -> Mapping[str, str]:
        """The data of one of Knative's ConfigMaps."""
        found = (each for each in self.all(FactKind.KNATIVE_CONFIG) if name(each) == name_of_map)
        data: Mapping[str, str] = next(found, {}).get("data") or {}
        return data


class Severity(StrEnum):
    """Whether a deployment would fail, or may."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class PreflightFinding:
    """Something that the cluster lacks.

    Attributes:
        severity: Whether the deployment would fail of it.
        what: The part of the cluster.
        found: How it is.
        needed: How it has to be, and for what.
        remedy: What to do, with a command where there is one.
    """

    severity: Severity
    what: str
    found: str
    needed: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: found {self.found}; needed {self.needed}. {self.remedy}"


def error(what: str, *, found: str, needed: str, remedy: str) -> PreflightFinding:
    """What a deployment would fail of."""
    return PreflightFinding(
        severity=Severity.ERROR, what=what, found=found, needed=needed, remedy=remedy
    )


def warning(what: str, *, found: str, needed: str, remedy: str) -> PreflightFinding:
    """What a deployment may fail of, or only later."""
    return PreflightFinding(
        severity=Severity.WARNING, what=what, found=found, needed=needed, remedy=remedy
    )
