"""Failures of controllers: failed Jobs, rollouts past their deadline, revisions given up."""

from collections.abc import Iterator

from ft_serving.cluster.diagnosis.causes.containers import telling_lines
from ft_serving.cluster.diagnosis.snapshot import JOB_LABEL, JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding
from ft_serving.cluster.documents import Document, condition, created, holds, label, name, since

_ERROR = "Error: "
"""The beginning of a command's error."""

# Reasons of pods that have other findings, with graces of their own.
_SAID_OF_PODS = ("Unschedulable", "ContainerMissing")
_DEADLINE = "ProgressDeadlineExceeded"
# The revision's pods are still tried, and have findings of their own.
_REVISION_GRACE_S = 60.0


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


def failed_rollouts(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield revisions that failed, and rollouts that took longer than their progress deadline."""
    newest = snapshot.newest_revisions()
    for revision in snapshot.own(Kind.REVISIONS):
        ready = condition(revision, "Ready")
        reason = ready.get("reason", "")
        if (
            name(revision) not in newest
            or ready.get("status") != "False"
            or reason in _SAID_OF_PODS
        ):
            continue
        yield Finding(
            Cause.DEADLINE,
            f"Knative has given up revision {name(revision)} ({reason}): "
            f"{telling_lines(ready.get('message', ''))}{_last_warning(snapshot, name(revision))}",
            since(ready, snapshot.begun),
            _REVISION_GRACE_S if snapshot.pods() and reason != _DEADLINE else None,
        )
    for deployment in snapshot.current(Kind.DEPLOYMENTS):
        progress = condition(deployment, "Progressing")
        if progress.get("reason") != _DEADLINE:
            continue
        allowed = deployment["spec"].get("progressDeadlineSeconds", 600)
        yield Finding(
            Cause.DEADLINE,
            f"Deployment {name(deployment)} made no progress in the {allowed} s that it may take; "
            "if the model only needs longer to load, allow more (KServe and Knative: annotation "
            "serving.knative.dev/progress-deadline)",
            since(progress, snapshot.begun),
        )


def _last_warning(snapshot: NamespaceSnapshot, revision: str) -> str:
    """Return the last warning about a revision's pods, if Knative has deleted those."""
    warnings = [
        event
        for event in snapshot.all(Kind.EVENTS)
        if event.get("type") == "Warning"
        and event["involvedObject"].get("kind") == "Pod"
        and str(event["involvedObject"].get("name")).startswith(f"{revision}-deployment-")
    ]
    if snapshot.pods() or not warnings:
        return ""
    last = max(warnings, key=snapshot.last)
    return f"\nThe last warning about its pods: {last['message'].strip()}"
