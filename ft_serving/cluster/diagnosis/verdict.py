"""The causes, findings and verdicts of a diagnosis."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """The state of a deployment: READY is a service that is ready, or a Job that succeeded."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"


class Cause(StrEnum):
    """A reason why a deployment does not become ready; roots of others stand before them."""

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
    # KServe and the ReplicaSet's controller try again at once, and would have got through.
    Cause.QUOTA: 10.0,
    Cause.REFUSED: 10.0,
    # A failed Job fails no service, because an earlier Job may have written the same release.
    Cause.JOB: math.inf,
    Cause.CLAIM: 15.0,
    # A cluster's autoscaler says within this time whether it adds a node.
    Cause.UNSCHEDULABLE: 30.0,
    # Detaching a volume from another node takes minutes.
    Cause.MOUNT: 120.0,
    # kubelet pulls a second time after 10 s.
    Cause.IMAGE: 15.0,
    Cause.CONTAINER: 15.0,
}
"""Seconds that a cause has to last before it is final; the others are final at once."""

SCALE_UP_GRACE_S = 900.0
"""For pods that a node is being added for; a GPU node takes up to a quarter of an hour."""

ROOM_GRACE_S = 120.0
"""For pods that wait while others end, which may hold the resources that they ask for."""

SETTLING_S = 10.0
"""Seconds of looking before anything is final: right after a change, conditions may still be about
the state before it."""

UNOBSERVED_SETTLING_S = 30.0
"""The same, while a controller has not said that it saw the newest specification."""

UNREACHABLE_GRACE_S = 120.0
"""For registries that cannot be reached, and claims whose volume cannot be made yet."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason why a deployment is not ready."""

    cause: Cause  # Its kind.
    message: str  # What is wrong, what was given, and what to do.
    since: datetime  # When it began.
    # Seconds after which it is final; None for those of the cause, infinite where only a deadline
    # tells it from a slow start.
    grace_s: float | None = None

    def final(self, now: datetime) -> bool:
        """Return whether it has lasted for so long that waiting will not mend it."""
        grace_s = GRACE_S.get(self.cause, 0.0) if self.grace_s is None else self.grace_s
        return (now - self.since).total_seconds() >= grace_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The state of a deployment, and its reasons."""

    state: State  # `FAILED` if a finding is final.
    # The findings; final ones first, and roots before what follows from them.
    findings: tuple[Finding, ...] = ()
    summary: str  # The messages of the final findings, or the reason to wait; one line or more.
    url: str | None = None  # The service's address within the cluster.
