"""The answers of an API server and registries before a deployment, and findings about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from ft_serving.cluster.documents import Document, name
from operations.preflight.needs import Permission


class FactKind(StrEnum):
    """A kind of object that is read; the value names it in messages."""

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
    """An answer of a registry."""

    reached: bool  # Whether it answers at all.
    reason: str = ""  # Why it does not, or why it refuses; else empty.
    refused: bool = False  # Whether it refuses the login.
    missing: bool = False  # Whether it lacks what it was asked for.


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that an API server and registries answered."""

    version: str  # Kubernetes' version, as `v1.34.4`.
    groups: Mapping[str, Sequence[str]]  # The served versions of each API group.
    # The objects of each kind; None where they may not be read.
    objects: Mapping[FactKind, Sequence[Document] | None]
    denied: Sequence[Permission] = ()  # Permissions that the user lacks.
    # The API server's refusals of creations with `dryRun`, by the component's title.
    refusals: Mapping[str, str] = field(default_factory=dict)
    # The answer of the registry of pushes; None where it was not asked.
    registry: RegistryAnswer | None = None
    # The answers about images that have to exist.
    images: Mapping[str, RegistryAnswer] = field(default_factory=dict)

    def all(self, kind: FactKind) -> Sequence[Document]:
        """Return the objects of a kind; none where they may not be read."""
        return self.objects.get(kind) or ()

    def unread(self) -> list[FactKind]:
        """Return the kinds that may not be read."""
        return [kind for kind, found in self.objects.items() if found is None]

    def config(self, name_of_map: str) -> Mapping[str, str]:
        """Return the data of one of Knative's ConfigMaps."""
        found = (each for each in self.all(FactKind.KNATIVE_CONFIG) if name(each) == name_of_map)
        data: Mapping[str, str] = next(found, {}).get("data") or {}
        return data


class Severity(StrEnum):
    """ERROR is for a deployment that would fail, WARNING for one that may."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class PreflightFinding:
    """A lack of the cluster."""

    severity: Severity  # Whether the deployment would fail.
    what: str  # The part of the cluster.
    found: str = field(kw_only=True)  # Its present state.
    needed: str = field(kw_only=True)  # The state that it has to have, and for what.
    remedy: str = field(kw_only=True)  # What to do, with a command where there is one.

    def __str__(self) -> str:
        return f"{self.what}: found {self.found}; needed {self.needed}. {self.remedy}"


error = partial(PreflightFinding, Severity.ERROR)
warning = partial(PreflightFinding, Severity.WARNING)
