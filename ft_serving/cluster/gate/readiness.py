"""Waits for an InferenceService or a Job until it is ready, or has failed for good."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ft_serving.cluster.diagnosis import Cause, State, Verdict, diagnose, diagnose_job
from ft_serving.cluster.diagnosis.watch import watch
from ft_serving.cluster.documents import created, name
from ft_serving.cluster.errors import ClusterError

if TYPE_CHECKING:
    from ft_serving.cluster.diagnosis.namespace import ClusterNamespace


OLD_S = 30.0
"""Seconds that a revision was there before the gate, and so may have spent on an earlier cause."""


def try_again(
    namespace: "ClusterNamespace",
    service: str,
    say: Callable[[str], None],
    created_before: datetime | None = None,
) -> bool:
    """Delete the newest revision of a service if Knative has given it up, so that it is made anew.

    Knative never tries a failed revision again, though the cause may be gone by now: damaged
    weights, a quota, a node that was missing. Without the permission to delete it, this only says
    so.

    Args:
        namespace: The service's namespace.
        service: The InferenceService's name.
        say: Gets what was done.
        created_before: Younger revisions are left alone.

    Returns:
        Whether a revision was deleted.
    """
    try:
        abandoned = namespace.snapshot(service).abandoned_revision()
        if abandoned is None or (created_before and created(abandoned) > created_before):
            return False
        namespace.delete_revision(name(abandoned))
    except ClusterError as exc:
        say(f"A revision that failed before is not tried again: {exc}")
        return False
    say(f"Revision {name(abandoned)} failed before; Knative makes it anew")
    return True


def wait_until_ready(
    namespace: "ClusterNamespace", service: str, budget_s: float, say: Callable[[str], None]
) -> str:
    """Wait until an InferenceService is ready, and return its address within the cluster.

    `say` gets the reasons for the wait, which ends after `budget_s` seconds. A revision whose
    deadline an earlier cause has used up is tried again once.

    Raises:
        ClusterError: It will not become ready, or was not in time, or its state cannot be read.
    """
    verdict = _awaited(
        patient(namespace, service, datetime.now(UTC), say),
        f"InferenceService {service}",
        budget_s,
        say,
        failed="will not become ready",
        pending="is not ready",
    )
    if verdict.url is None:
        raise ClusterError(
            f"InferenceService {service} is ready, but its status has no address; give one (--url)"
        )
    return verdict.url


def patient(
    namespace: "ClusterNamespace", service: str, begun: datetime, say: Callable[[str], None]
) -> Callable[[datetime], Verdict]:
    """Return a function that diagnoses a service at a time, and tries an old revision again once.

    Knative may give up a revision of an earlier `up` while its pod starts, now that the cause is
    gone. Only a deadline is no cause of its own; `begun` is when the gate began.
    """
    tried = False

    def look(now: datetime) -> Verdict:
        nonlocal tried
        verdict = diagnose(namespace.snapshot(service), now)
        late = verdict.state is State.FAILED and verdict.findings[0].cause is Cause.DEADLINE
        if not late or tried:
            return verdict
        tried = True
        if try_again(namespace, service, say, begun - timedelta(seconds=OLD_S)):
            return replace(verdict, state=State.PENDING)
        return verdict

    return look


def wait_until_done(
    namespace: "ClusterNamespace", job: str, budget_s: float, say: Callable[[str], None]
) -> None:
    """Wait until a Job has succeeded, as `wait_until_ready` does.

    Raises:
        ClusterError: It failed, cannot start, or has not succeeded in time, or its state cannot be
            read.
    """
    _awaited(
        lambda now: diagnose_job(namespace.job_snapshot(job), now),
        f"Job {job}",
        budget_s,
        say,
        failed="does not succeed",
        pending="has not succeeded",
    )


def _awaited(
    look: Callable[[datetime], Verdict],
    what: str,
    budget_s: float,
    say: Callable[[str], None],
    *,
    failed: str,
    pending: str,
) -> Verdict:
    verdict = watch(look, what.rpartition(" ")[2], budget_s, say)
    if verdict.state is State.FAILED:
        raise ClusterError(f"{what} {failed}.\n{verdict.summary}")
    if verdict.state is State.PENDING:
        raise ClusterError(
            f"{what} {pending} after {budget_s:.0f} s, and no lasting cause was found; if it only "
            f"needs longer, allow more (--timeout).\n{verdict.summary}"
        )
    return verdict
