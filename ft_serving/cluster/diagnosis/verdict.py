"""What a diagnosis comes to."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ft_serving.cluster.diagnosis.snapshot import NamespaceSnapshot


class State(StrEnum):
    """How a deployment stands: a service is ready, a Job has succeeded."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"


class Cause(StrEnum):
    """Why a deployment does not become ready; what is the root of others stands before them."""

    MISSING = "missing"
    QUOTA = "quota"
    REFUSED = "refused"
    JOB = "job"
    CLAIM = "claim"
    UNSCHEDULABLE = "unschedulable"
    MOUNT = "mount"
    IMAGE = "image"
    CONTAINER = "container"
    MODEL = "model"
    MEMORY = "memory"
    CRASH = "crash"
    PROBE = "probe"
    DEADLINE = "deadline"


GRACE_S = {
    Cause.MISSING: 0.0,
    # KServe and the ReplicaSet's controller try again at once, and would have got through.
    Cause.QUOTA: 10.0,
    Cause.REFUSED: 10.0,
    # What it was to write for a service may be there from an earlier one: it explains others alone.
    Cause.JOB: math.inf,
    Cause.CLAIM: 15.0,
    # A cluster's autoscaler says within this time whether it adds a node.
    Cause.UNSCHEDULABLE: 30.0,
    # Detaching a volume from another node takes minutes.
    Cause.MOUNT: 120.0,
    # kubelet pulls a second time after 10 s.
    Cause.IMAGE: 15.0,
    Cause.CONTAINER: 15.0,
    # A container has ended twice before one of these is said.
    Cause.MODEL: 0.0,
    Cause.MEMORY: 0.0,
    Cause.CRASH: 0.0,
    Cause.PROBE: 0.0,
    Cause.DEADLINE: 0.0,
}
"""Seconds that a cause may hold before it counts as final, where nothing says otherwise."""

SCALE_UP_GRACE_S = 900.0
"""For pods that a node is being added for; a GPU node takes up to a quarter of an hour."""

ROOM_GRACE_S = 120.0
"""For pods that wait while others end, which may hold what they ask for."""

SETTLING_S = 10.0
"""Seconds of looking before anything is final: right after a change, controllers have not yet taken
down what they said about the state before it."""

UNOBSERVED_SETTLING_S = 30.0
"""The same, while a controller has not said that it saw the newest specification."""

UNREACHABLE_GRACE_S = 120.0
"""For registries that cannot be reached, and claims whose volume cannot be made yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that keeps a deployment from becoming ready.

    Attributes:
        cause: What kind of thing.
        message: What was wrong, what was given, what to do.
        since: When it began.
        grace_s: Seconds from `since` after which it counts as final; infinite, where only a
            deadline tells it from a slow start.
    """

    cause: Cause
    message: str
    since: datetime
    grace_s: float

    def final(self, now: datetime) -> bool:
        """Whether it has held for so long that waiting will not mend it."""
        return (now - self.since).total_seconds() >= self.grace_s


def found(
    snapshot: NamespaceSnapshot,
    cause: Cause,
    message: str,
    *,
    since: datetime | None = None,
    grace_s: float | None = None,
) -> Finding:
    """A finding; see `Finding` for its attributes.

    Args:
        snapshot: What it was found in.
        cause: What kind of thing.
        message: What was wrong, what was given, what to do.
        since: When it began; by default when looking began.
        grace_s: By default the cause's own.
    """
    return Finding(
        cause=cause,
        message=message,
        since=since or snapshot.begun,
        grace_s=GRACE_S[cause] if grace_s is None else grace_s,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How a deployment stands.

    Attributes:
        state: `FAILED` where a finding is final.
        findings: What is in the way, roots first, final ones before those that may pass.
        summary: One line or more: the final findings' messages, or what is waited for.
        url: The address within the cluster, where there is one.
    """

    state: State
    findings: tuple[Finding, ...]
    summary: str
    url: str | None
