"""Waiting for an InferenceService or a Job, no longer than there is hope."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ft_serving.cluster.diagnosis import State, diagnose, diagnose_job
from ft_serving.cluster.diagnosis.watch import watch
from ft_serving.cluster.errors import ClusterError

if TYPE_CHECKING:
    from ft_serving.cluster.diagnosis.namespace import ClusterNamespace


def try_again(namespace: "ClusterNamespace", service: str, say: Callable[[str], None]) -> None:
    """Have a service tried again that Knative gave up before.

    Knative never tries a failed revision again, though what it failed of may be mended by now:
    weights that were damaged, a quota, a node that was missing. The newest one is deleted, and
    Knative makes it anew. Who may not do that is told what there is.

    Args:
        namespace: Where it is.
        service: Its name.
        say: Told what is done.
    """
    try:
        abandoned = namespace.snapshot(service).abandoned_revision()
        if abandoned:
            namespace.delete_revision(abandoned)
            say(f"Revision {abandoned} failed before; it is made anew")
    except ClusterError as exc:
        say(f"What failed before is not tried again: {exc}")


def wait_until_ready(
    namespace: "ClusterNamespace", service: str, budget_s: float, say: Callable[[str], None]
) -> str:
    """Wait until an InferenceService is ready.

    Args:
        namespace: Where it is.
        service: Its name.
        budget_s: Seconds after which waiting ends.
        say: Told what is waited for.

    Returns:
        Its address within the cluster.

    Raises:
        ClusterError: It will not become ready, or was not in time, or its state cannot be read.
    """
    verdict = watch(lambda now: diagnose(namespace.snapshot(service), now), service, budget_s, say)
    if verdict.state is State.FAILED:
        raise ClusterError(f"InferenceService {service} will not become ready.\n{verdict.summary}")
    if verdict.state is State.PENDING:
        raise ClusterError(
            f"InferenceService {service} is not ready after {budget_s:.0f} s, though nothing says "
            "that it never will be; if it only needs longer, allow more (--timeout).\n"
            f"{verdict.summary}"
        )
    if verdict.url is None:
        raise ClusterError(
            f"InferenceService {service} is ready, but its status has no address; give one (--url)"
        )
    return verdict.url


def wait_until_done(
    namespace: "ClusterNamespace", job: str, budget_s: float, say: Callable[[str], None]
) -> None:
    """Wait until a Job has succeeded.

    Args:
        namespace: Where it is.
        job: Its name.
        budget_s: Seconds after which waiting ends.
        say: Told what is waited for.

    Raises:
        ClusterError: It failed, cannot start, or has not succeeded in time, or its state cannot be
            read.
    """
    verdict = watch(lambda now: diagnose_job(namespace.job_snapshot(job), now), job, budget_s, say)
    if verdict.state is State.FAILED:
        raise ClusterError(f"Job {job} does not succeed.\n{verdict.summary}")
    if verdict.state is State.PENDING:
        raise ClusterError(
            f"Job {job} has not succeeded after {budget_s:.0f} s, though nothing says that it "
            "never will; if it only needs longer, allow more (--timeout).\n"
            f"{verdict.summary}"
        )
