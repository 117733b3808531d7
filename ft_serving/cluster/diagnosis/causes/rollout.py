"""Rollouts past their deadline, and revisions that Knative has given up."""

from collections.abc import Iterator

from ft_serving.cluster.diagnosis.causes.containers import telling_lines
from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding
from ft_serving.cluster.documents import condition, name, since

# Reasons of pods that have other findings, with graces of their own.
_SAID_OF_PODS = ("Unschedulable", "ContainerMissing")
_DEADLINE = "ProgressDeadlineExceeded"
# The revision's pods are still tried, and have findings of their own.
_REVISION_GRACE_S = 60.0


def failed_rollouts(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield revisions that failed, and rollouts that took longer than their progress deadline."""
    newest = snapshot.newest_revision()
    for revision in snapshot.own(Kind.REVISIONS):
        ready = condition(revision, "Ready")
        reason = ready.get("reason", "")
        if name(revision) != newest or ready.get("status") != "False" or reason in _SAID_OF_PODS:
            continue
        yield Finding(
            Cause.DEADLINE,
            f"Knative has given up revision {newest} ({reason}): "
            f"{telling_lines(ready.get('message', ''))}{_last_warning(snapshot, newest)}",
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
