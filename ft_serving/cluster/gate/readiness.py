"""Waits for an InferenceService or a Job until it is ready, or has failed for good."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from ft_serving.cluster.diagnosis import State, Verdict, diagnose, diagnose_job
from ft_serving.cluster.diagnosis.watch import watch
from ft_serving.cluster.errors import ClusterError

if TYPE_CHECKING:
    from ft_serving.cluster.diagnosis.namespace import ClusterNamespace


def try_again(namespace: "ClusterNamespace", service: str, say: Callable[[str], None]) -> None:
    """Delete the newest revision of a service if Knative has given it up, so that it is made anew.

    Knative never tries a failed revision again, though the cause may be gone by now: damaged
    weights, a quota, a node that was missing. Without the permission to delete it, this only says
    so.
    """
    try:
        abandoned = namespace.snapshot(service).abandoned_revision()
        if abandoned:
            namespace.delete_revision(abandoned)
            say(f"Revision {abandoned} failed before; Knative makes it anew")
    except ClusterError as exc:
        say(f"A revision that failed before is not tried again: {exc}")


def wait_until_ready(
    namespace: "ClusterNamespace", service: str, budget_s: float, say: Callable[[str], None]
) -> str:
    """Wait until an InferenceService is ready, and return its address within the cluster.

    `say` gets the reasons for the wait, which ends after `budget_s` seconds.

    Raises:
        ClusterError: It will not become ready, or was not in time, or its state cannot be read.
    """
    verdict = _awaited(
        lambda now: diagnose(namespace.snapshot(service), now),
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
