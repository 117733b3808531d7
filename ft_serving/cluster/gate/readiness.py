"""Waits for an InferenceService or a Job until it is ready, or has failed for good."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ft_serving.cluster.diagnosis import Cause, State, Verdict, diagnose, diagnose_job
from ft_serving.cluster.documents import created, name
from ft_serving.cluster.errors import ClusterError, ClusterUnavailableError

if TYPE_CHECKING:
    from ft_serving.cluster.diagnosis.namespace import ClusterNamespace

PAUSE_S = 2.0
"""Between two looks: ten small lists each time; a watch would have a connection to lose."""

SAY_AGAIN_S = 30.0
"""Between two reports of the same reason to wait."""

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


def watch(
    look: Callable[[datetime], Verdict],
    what: str,
    budget_s: float,
    say: Callable[[str], None],
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Wait until a deployment is ready or has failed, and return the last verdict.

    The verdict is pending if `budget_s` seconds did not do. `say` gets the reason for the wait,
    when it changes and every half minute; `look` diagnoses the deployment `what` at a time.

    Raises:
        ClusterRefusalError: The API server refuses to tell.
        ClusterUnavailableError: The API server did not answer when the time was up.
    """
    begin = clock()
    said, said_at = "", -SAY_AGAIN_S
    while True:
        verdict: Verdict | None = None
        try:
            verdict = look(clock())
            reason = verdict.summary.partition("\n")[0].removesuffix(". Its last lines:")
        except ClusterUnavailableError as exc:
            # It restarts, or a connection broke: that passes as a service's start does.
            failure, reason = exc, str(exc)
        waited = (clock() - begin).total_seconds()
        if verdict is not None and verdict.state is not State.PENDING:
            return verdict
        if waited + PAUSE_S > budget_s:
            if verdict is None:
                raise failure
            return verdict
        if reason != said or waited - said_at >= SAY_AGAIN_S:
            say(f"Waiting for {what} ({waited:.0f} of at most {budget_s:.0f} s): {reason}")
            said, said_at = reason, waited
        pause(PAUSE_S)


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
