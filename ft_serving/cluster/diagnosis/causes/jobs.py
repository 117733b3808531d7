"""Jobs that failed: the one that is waited for, or one that a service's model should come from."""

from collections.abc import Iterator

from ft_serving.cluster.diagnosis.snapshot import JOB_LABEL, JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding, found
from ft_serving.cluster.documents import Document, condition, label, name, since

_ERROR = "Error: "
"""What the commands begin their one error with."""


def failed_jobs(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Jobs that should have written what the service reads, and failed.

    Told by the claims that both mount; a later job that got through makes up for one that failed.
    """
    jobs = snapshot.writers()
    if not jobs:
        return
    failed = condition(jobs[-1], "Failed")
    if failed.get("status") == "True":
        yield found(
            snapshot,
            Cause.JOB,
            f"Job {name(jobs[-1])}, which writes what the service reads, failed"
            f"{_why(snapshot, jobs[-1], failed)}",
            since=since(failed, snapshot.begun),
        )


def failed_job(snapshot: JobSnapshot) -> Iterator[Finding]:
    """The Job itself: that it failed, or is not there."""
    job = snapshot.job()
    if job is None:
        yield found(
            snapshot,
            Cause.MISSING,
            f"There is no Job {snapshot.name} in namespace {snapshot.namespace}",
        )
        return
    failed = condition(job, "Failed")
    if failed.get("status") == "True":
        yield found(
            snapshot,
            Cause.JOB,
            f"It failed{_why(snapshot, job, failed)}",
            since=since(failed, snapshot.begun),
            grace_s=0.0,
        )


def _why(snapshot: NamespaceSnapshot, job: Document, failed: Document) -> str:
    reason, said = failed.get("reason"), _last_words(snapshot, job) or failed.get("message")
    # The policy that ends a Job at its command's own error is no reason of its own.
    return f": {said}" if reason == "PodFailurePolicy" else f" ({reason}): {said}"


def _last_words(snapshot: NamespaceSnapshot, job: Document) -> str:
    """The termination message of the job's last pod, and whether it ran out of memory."""
    pods = [pod for pod in snapshot.all(Kind.PODS) if label(pod, JOB_LABEL) == name(job)]
    pods.sort(key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses") or ():
            ended = status["state"].get("terminated", {})
            # Without a message of its own it is the log's end; the error is the last that is said.
            _, error, last = str(ended.get("message", "")).rpartition(_ERROR)
            message = f"{error}{last}".strip()
            if ended.get("reason") == "OOMKilled":
                return f"it was killed for its memory (OOMKilled); raise its limit. {message}"
            if message:
                return message
    return ""
