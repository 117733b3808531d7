"""Volumes that a pod waits for: claims that are not bound, and mounts that fail."""

from collections.abc import Iterator

from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import GRACE_S, UNREACHABLE_GRACE_S, Cause, Finding, found
from ft_serving.cluster.documents import (
    Document,
    claim_names,
    container_statuses,
    name,
    time,
)

_UNBOUND_EVENTS = ("ProvisioningFailed", "FailedBinding")
_MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_NOT_STARTED = ("ContainerCreating", "PodInitializing")
# Nothing that is tried again mends these.
_FOR_GOOD = ("not found", "no storage class is set", "no persistent volumes available")


def unbound_claims(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Claims that pods mount and that do not exist, are lost, or get no volume."""
    # While the claim is missing there may be no pod that names it.
    specs = [*(pod["spec"] for pod in snapshot.pods()), *snapshot.specs()]
    claims = {name(claim): claim for claim in snapshot.all(Kind.CLAIMS)}
    for wanted in sorted({claim for spec in specs for claim in claim_names(spec)}):
        finding = (
            _unbound(snapshot, claims[wanted])
            if wanted in claims
            else found(
                snapshot,
                Cause.CLAIM,
                f"PersistentVolumeClaim {wanted} does not exist in namespace {snapshot.namespace}",
            )
        )
        if finding is not None:
            yield finding


def _unbound(snapshot: NamespaceSnapshot, claim: Document) -> Finding | None:
    phase = claim.get("status", {}).get("phase")
    spec = claim["spec"]
    about = (
        f"PersistentVolumeClaim {name(claim)} (class {spec.get('storageClassName', 'not named')}, "
        f"{', '.join(spec['accessModes'])}, {spec['resources']['requests']['storage']})"
    )
    if phase == "Lost":
        return found(snapshot, Cause.CLAIM, f"{about} has lost its volume {spec.get('volumeName')}")
    created = time(claim["metadata"]["creationTimestamp"])
    events = [
        event
        for event in snapshot.events("PersistentVolumeClaim", name(claim), _UNBOUND_EVENTS)
        # Events outlive a claim of that name that was of another class.
        if snapshot.happened(event)[1] >= created
    ]
    if phase != "Pending" or not events:
        # A claim may wait for its pod to be scheduled (WaitForFirstConsumer).
        return None
    reason = str(events[-1]["message"])
    for_good = any(phrase in reason for phrase in _FOR_GOOD)
    return found(
        snapshot,
        Cause.CLAIM,
        f"{about} has no volume: {reason}. `kubectl get storageclass` shows the classes there are",
        since=created,
        grace_s=GRACE_S[Cause.CLAIM] if for_good else UNREACHABLE_GRACE_S,
    )


def failed_mounts(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Pods on a node that cannot start, because a volume or their network cannot be set up."""
    for pod in snapshot.pods():
        waiting = [each["state"].get("waiting", {}) for each in container_statuses(pod)]
        events = snapshot.events("Pod", name(pod), _MOUNT_EVENTS)
        if not events or not all(each.get("reason") in _NOT_STARTED for each in waiting):
            continue
        yield found(
            snapshot,
            Cause.MOUNT,
            f"Pod {name(pod)} cannot start on its node: {events[-1]['message']}",
            since=snapshot.happened(events[0])[0],
        )
