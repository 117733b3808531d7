"""Waiting for an InferenceService or a Job, no longer than there is hope."""

from collections.abc import Callable
from typing import Protocol

from ft_serving.cluster.diagnosis import JobSnapshot, Snapshot, State, diagnose, diagnose_job
from ft_serving.cluster.diagnosis.errors import DiagnosisError
from ft_serving.cluster.diagnosis.watch import watch
from ft_serving.cluster.gate.errors import JobFailedError, NotReadyError


class Source(Protocol):
    """Where snapshots come from; `ft_serving.cluster.diagnosis.cluster.Cluster` is one."""

    def snapshot(self, service: str) -> Snapshot:
        """What there is of an InferenceService at this time."""
        ...

    def job_snapshot(self, job: str) -> JobSnapshot:
        """What there is of a Job at this time."""
        ...

    def delete_revision(self, revision: str) -> None:
        """Delete a Knative revision."""
        ...


def try_again(source: Source, service: str, say: Callable[[str], None]) -> None:
    """Have a service tried again that Knative gave up before.

    Knative never tries a failed revision again, though what it failed of may be mended by now:
    weights that were damaged, a quota, a node that was missing. The newest one is deleted, and
    Knative makes it anew. Who may not do that is told what there is.

    Args:
        source: Where its state is read.
        service: Its name.
        say: Told what is done.
    """
    try:
        abandoned = source.snapshot(service).abandoned_revision()
        if abandoned:
            source.delete_revision(abandoned)
            say(f"Revision {abandoned} failed before; it is made anew")
    except DiagnosisError as exc:
        say(f"What failed before is not tried again: {exc}")


def wait_until_ready(
    source: Source, service: str, budget_s: float, say: Callable[[str], None]
) -> str:
    """Wait until an InferenceService is ready.

    Args:
        source: Where its state is read.
        service: Its name.
        budget_s: Seconds after which waiting ends.
        say: Told what is waited for.

    Returns:
        Its address within the cluster.

    Raises:
        NotReadyError: It will not become ready, or was not in time.
        DiagnosisError: Its state cannot be read.
    """
    verdict = watch(lambda now: diagnose(source.snapshot(service), now), service, budget_s, say)
    if verdict.state is State.FAILED:
        raise NotReadyError(f"InferenceService {service} will not become ready.\n{verdict.summary}")
    if verdict.state is State.PENDING:
        raise NotReadyError(
            f"InferenceService {service} is not ready after {budget_s:.0f} s, though nothing says "
            "that it never will be; if it only needs longer, allow more (--timeout).\n"
            f"{verdict.summary}"
        )
    if verdict.url is None:
        raise NotReadyError(
            f"InferenceService {service} is ready, but its status has no address; give one (--url)"
        )
    return verdict.url


def wait_until_done(source: Source, job: str, budget_s: float, say: Callable[[str], None]) -> None:
    """Wait until a Job has succeeded.

    Args:
        source: Where its state is read.
        job: Its name.
        budget_s: Seconds after which waiting ends.
        say: Told what is waited for.

    Raises:
        JobFailedError: It failed, cannot start, or has not succeeded in time.
        DiagnosisError: Its state cannot be read.
    """
    verdict = watch(lambda now: diagnose_job(source.job_snapshot(job), now), job, budget_s, say)
    if verdict.state is State.FAILED:
        raise JobFailedError(f"Job {job} does not succeed.\n{verdict.summary}")
    if verdict.state is State.PENDING:
        raise JobFailedError(
            f"Job {job} has not succeeded after {budget_s:.0f} s, though nothing says that it "
            "never will; if it only needs longer, allow more (--timeout).\n"
            f"{verdict.summary}"
        )
