"""Findings with the times that hold for all of them."""

from datetime import datetime

from ft_serving.cluster.diagnosis.snapshot import Snapshot
from ft_serving.cluster.diagnosis.verdict import GRACE_S, Cause, Finding


def found(
    snapshot: Snapshot,
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
