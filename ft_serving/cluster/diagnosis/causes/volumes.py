"""Claims that get no volume, and volumes that cannot be mounted."""

from collections.abc import Iterator

from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import UNREACHABLE_GRACE_S, Cause, Finding
from ft_serving.cluster.documents import Document, claim_names, container_statuses, created, name

_UNBOUND_EVENTS = ("ProvisioningFailed", "FailedBinding")
_MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_NOT_STARTED = ("ContainerCreating", "PodInitializing")
# Trying again mends none of these.
_FOR_GOOD = ("not found", "no storage class is set", "no persistent volumes available")


def unbound_claims(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield claims of pods that do not exist, are lost, or get no volume."""
    # While the claim is missing there may be no pod that names it.
    specs = [*(pod["spec"] for pod in snapshot.pods()), *snapshot.specs()]
    claims = {name(claim): claim for claim in snapshot.all(Kind.CLAIMS)}
    for wanted in sorted({claim for spec in specs for claim in claim_names(spec)}):
        if wanted in claims:
            yield from _unbound(snapshot, claims[wanted])
        else:
            text = f"PersistentVolumeClaim {wanted} does not exist in namespace "
            yield Finding(Cause.CLAIM, text + snapshot.namespace, snapshot.begun)


def _unbound(snapshot: NamespaceSnapshot, claim: Document) -> Iterator[Finding]:
    phase = claim.get("status", {}).get("phase")
    spec = claim["spec"]
    about = (
        f"PersistentVolumeClaim {name(claim)} (class {spec.get('storageClassName', 'not named')}, "
        f"{', '.join(spec['accessModes'])}, {spec['resources']['requests']['storage']})"
    )
    if phase == "Lost":
        text = f"{about} has lost its volume {spec.get('volumeName')}"
        yield Finding(Cause.CLAIM, text, snapshot.begun)
    events = [
        event
        for event in snapshot.events("PersistentVolumeClaim", name(claim), *_UNBOUND_EVENTS)
        # Events outlive a claim of that name that was of another class.
        if snapshot.last(event) >= created(claim)
    ]
    # Without an event it may wait for its pod to be scheduled (WaitForFirstConsumer).
    if phase == "Pending" and events:
        reason = str(events[-1]["message"])
        for_good = any(phrase in reason for phrase in _FOR_GOOD)
        yield Finding(
            Cause.CLAIM,
            f"{about} has no volume: {reason}. `kubectl get storageclass` shows the classes there "
            "are",
            created(claim),
            None if for_good else UNREACHABLE_GRACE_S,
        )


def failed_mounts(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield pods that cannot start on their node, for want of a volume or a network."""
    for pod in snapshot.pods():
        waiting = [each["state"].get("waiting", {}) for each in container_statuses(pod)]
        events = snapshot.events("Pod", name(pod), *_MOUNT_EVENTS)
        if events and all(each.get("reason") in _NOT_STARTED for each in waiting):
            yield Finding(
                Cause.MOUNT,
                f"Pod {name(pod)} cannot start on its node: {events[-1]['message']}",
                snapshot.first(events[0]),
            )
