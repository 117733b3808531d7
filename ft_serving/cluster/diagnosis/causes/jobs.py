"""Failed Jobs: the one that a gate waits for, or the one that writes a service's release."""

from collections.abc import Iterator

from ft_serving.cluster.diagnosis.snapshot import JOB_LABEL, JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding
from ft_serving.cluster.documents import Document, condition, created, holds, label, name, since

_ERROR = "Error: "
"""The beginning of a command's error."""


def failed_jobs(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield the last Job that mounts a claim of the service, if it failed."""
    for job in snapshot.writers()[-1:]:
        if holds(job, "Failed"):
            who = f"Job {name(job)}, which writes what the service reads,"
            yield _failure(snapshot, job, who)


def failed_job(snapshot: JobSnapshot) -> Iterator[Finding]:
    """Yield that the Job itself failed, or does not exist."""
    job = snapshot.job()
    if job is None:
        text = f"There is no Job {snapshot.name} in namespace {snapshot.namespace}"
        yield Finding(Cause.MISSING, text, snapshot.begun)
    elif holds(job, "Failed"):
        yield _failure(snapshot, job, "It", grace_s=0.0)


def _failure(
    snapshot: NamespaceSnapshot, job: Document, who: str, grace_s: float | None = None
) -> Finding:
    failed = condition(job, "Failed")
    said = _last_words(snapshot, job) or failed.get("message")
    # The policy that ends a Job at its command's own error is no reason of its own.
    reason = failed.get("reason")
    why = f": {said}" if reason == "PodFailurePolicy" else f" ({reason}): {said}"
    return Finding(Cause.JOB, f"{who} failed{why}", since(failed, snapshot.begun), grace_s)


def _last_words(snapshot: NamespaceSnapshot, job: Document) -> str:
    """Return the termination message of the Job's last pod, and whether it ran out of memory."""
    pods = [pod for pod in snapshot.all(Kind.PODS) if label(pod, JOB_LABEL) == name(job)]
    for pod in sorted(pods, key=created, reverse=True):
        for status in pod.get("status", {}).get("containerStatuses") or ():
            ended = status["state"].get("terminated", {})
            # A container that left no message has its log's end here, with the error as the last.
            _, error, last = str(ended.get("message", "")).rpartition(_ERROR)
            message = f"{error}{last}".strip()
            if ended.get("reason") == "OOMKilled":
                return f"it was killed for its memory (OOMKilled); raise its limit. {message}"
            if message:
                return message
    return ""
