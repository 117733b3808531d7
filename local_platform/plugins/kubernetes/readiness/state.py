"""What a check of readiness takes and gives."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from local_platform.plugins.kubernetes.cluster import Cluster, Object


class Phase(Enum):
    """How far an object is."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"
    """It will not become ready without a change."""


@dataclass(frozen=True, kw_only=True)
class State:
    """An object's readiness at one time.

    Attributes:
        phase: How far it is.
        message: What is missing, in one line; empty when nothing is.
        problems: What may be the cause, one line each: the pods' errors, for example.
    """

    phase: Phase
    message: str = ""
    problems: tuple[str, ...] = ()


READY = State(phase=Phase.READY)


def waiting(message: str, problems: tuple[str, ...] = ()) -> State:
    """A state to wait on from."""
    return State(phase=Phase.WAITING, message=message, problems=problems)


def failed(message: str, problems: tuple[str, ...] = ()) -> State:
    """A state that waiting does not change."""
    return State(phase=Phase.FAILED, message=message, problems=problems)


Check = Callable[[Object, Cluster], State]
"""Looks at an object, and at what belongs to it in the cluster. May raise `ClusterError`."""


def condition(thing: Object, kind: str) -> Object | None:
    """A condition in an object's status."""
    conditions = (thing.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), None)


def label(thing: Object) -> str:
    """An object as messages name it."""
    metadata = thing["metadata"]
    namespace = metadata.get("namespace")
    return (
        f'{thing["kind"]} "{namespace}/{metadata["name"]}"'
        if namespace
        else (f'{thing["kind"]} "{metadata["name"]}"')
    )


def observed(thing: Object) -> bool:
    """Whether the status speaks of the object's present spec, as far as the status says."""
    seen = (thing.get("status") or {}).get("observedGeneration")
    return seen is None or seen >= thing["metadata"].get("generation", 0)
