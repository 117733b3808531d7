"""Pods that cannot start: their claims, nodes, volumes and images."""

import re
from collections.abc import Iterator
from datetime import datetime

from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import (
    ROOM_GRACE_S,
    SCALE_UP_GRACE_S,
    UNREACHABLE_GRACE_S,
    Cause,
    Finding,
)
from ft_serving.cluster.documents import (
    Document,
    claim_names,
    condition,
    container_statuses,
    containers,
    created,
    is_ending,
    name,
    since,
)

_UNBOUND_EVENTS = ("ProvisioningFailed", "FailedBinding")
_MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_NOT_STARTED = ("ContainerCreating", "PodInitializing")
# Trying again mends none of these.
_FOR_GOOD = ("not found", "no storage class is set", "no persistent volumes available")

# The cluster autoscaler's and Karpenter's events for a pod that they add a node for.
_NODE_IS_COMING = ("TriggeredScaleUp", "Nominated")
# The scheduler's other attempts, which do not say what is missing.
_ASIDE = re.compile(r"\.? *(no new claims to deallocate|preemption: ).*", re.DOTALL)
_INSUFFICIENT = re.compile(r"(\d+) Insufficient ([\w./-]+)")
_AFFINITY = "didn't match Pod's node affinity/selector"
_MOST_NODES = 5
_NODE_REMEDY = (
    ". Ask for what a node has (`kubectl describe nodes` shows it), or add one that has it"
)
_HELD = (
    ". The release that runs keeps its resources until this pod is ready: a rollout needs room for "
    "both, or has to stop the old one first"
)

# kubelet's reasons: k8s.io/kubernetes, pkg/kubelet/images/types.go.
_UNPULLED = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
# kubelet and containerd wrap the registry's own words in these.
_WRAPPING = re.compile(
    r'^(?:Back-off pulling image "[^"]*"(?:: )?|ErrImagePull: |rpc error: code = \w+ desc = |'
    r'failed to pull and unpack image "[^"]*": |failed to resolve reference "[^"]*": |'
    r"failed to do request: |failed to resolve image to digest: )+"
)
_UNRESOLVED = re.compile(r'Unable to fetch image "([^"]*)": (.*)', re.DOTALL)

_IMAGE_REMEDIES = (
    (
        re.compile(r"unauthorized|denied|forbidden|\b40[13]\b|no basic auth", re.IGNORECASE),
        "The registry wants credentials: give the pod's service account an imagePullSecret",
    ),
    (re.compile("no such host"), "Is the registry's name right?"),
    (
        re.compile("not found|manifest unknown|NAME_UNKNOWN", re.IGNORECASE),
        "Push it, or name one that the registry has",
    ),
    (re.compile("nvalid"), "Correct its name"),
)
_UNREACHED = "Can the nodes reach the registry, and do they trust its certificate?"


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


def unschedulable_pods(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield pods that the scheduler finds no node for, but not those that wait for a claim."""
    new = set(map(name, snapshot.pods()))
    others = [pod for pod in snapshot.own(Kind.PODS) if name(pod) not in new]
    held = not all(map(is_ending, others))
    for pod in snapshot.pods():
        scheduled = condition(pod, "PodScheduled")
        said = scheduled.get("message", "")
        if scheduled.get("reason") != "Unschedulable" or "persistentvolumeclaim" in said.lower():
            continue
        grace_s = ROOM_GRACE_S if snapshot.ending() else None
        if snapshot.events("Pod", name(pod), *_NODE_IS_COMING):
            grace_s = SCALE_UP_GRACE_S
        yield Finding(
            Cause.UNSCHEDULABLE,
            f"Pod {name(pod)} fits on no node: {_reasons(snapshot, pod, said)}"
            f"{_HELD if held else _NODE_REMEDY}",
            since(scheduled, snapshot.begun),
            grace_s,
        )


def _reasons(snapshot: NamespaceSnapshot, pod: Document, said: str) -> str:
    core = _ASIDE.sub("", said).strip().rstrip(".")
    head, _, rest = core.partition(": ")
    words = [_reason(snapshot, pod, each) for each in (rest or head).split(", ")]
    return f"{head}: {'; '.join(words)}" if rest else words[0]


def _reason(snapshot: NamespaceSnapshot, pod: Document, said: str) -> str:
    if match := _INSUFFICIENT.fullmatch(said.strip()):
        count, resource = match.groups()
        asked = ", ".join(
            f"{container['name']} {value}"
            for container in containers(pod)
            if (value := container.get("resources", {}).get("requests", {}).get(resource))
        )
        return f"{count} with too little {resource} (asked for: {asked}{_had(snapshot, resource)})"
    if _AFFINITY in said:
        return f"{said} (asked for: {' and '.join(_wanted_labels(pod['spec']))})"
    return said


def _had(snapshot: NamespaceSnapshot, resource: str) -> str:
    nodes = snapshot.all(Kind.NODES)
    if not nodes:
        return ""
    shown = [
        f"{name(node)} {node['status'].get('allocatable', {}).get(resource, 'none')}"
        for node in nodes[:_MOST_NODES]
    ]
    more = f" and {len(nodes) - _MOST_NODES} more" if len(nodes) > _MOST_NODES else ""
    return f"; nodes have in all: {', '.join(shown)}{more}"


def _wanted_labels(spec: Document) -> Iterator[str]:
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield f"label {key}={value}"
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = [
        " and ".join(
            f"label {each['key']} {each['operator']} {', '.join(each.get('values', ()))}".rstrip()
            for each in term.get("matchExpressions", ())
        )
        for term in required.get("nodeSelectorTerms", ())
    ]
    if terms:
        yield " or ".join(terms)


def unpullable_images(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield images that a node could not pull, or whose digest Knative could not look up."""
    for pod in snapshot.pods():
        for status in container_statuses(pod):
            waiting = status["state"].get("waiting", {})
            if waiting.get("reason") in _UNPULLED:
                failures = (
                    snapshot.first(event)
                    for event in snapshot.events("Pod", name(pod), "Failed")
                    if "Failed to pull image" in event["message"]
                )
                reason = waiting.get("message") or waiting["reason"]
                yield _unpullable(status["image"], reason, next(failures, created(pod)))
    newest = snapshot.newest_revisions()
    for revision in snapshot.own(Kind.REVISIONS):
        ready = condition(revision, "Ready")
        match = _UNRESOLVED.match(ready.get("message", ""))
        if match and name(revision) in newest and ready["status"] == "False":
            yield _unpullable(match[1], match[2], since(ready, snapshot.begun))


def _unpullable(image: str, said: str, begin: datetime) -> Finding:
    reason = _WRAPPING.sub("", said) or said
    remedy = next((each for pattern, each in _IMAGE_REMEDIES if pattern.search(reason)), None)
    return Finding(
        Cause.IMAGE,
        f"Image {image} cannot be pulled: {reason.rstrip('.')}. {remedy or _UNREACHED}",
        begin,
        None if remedy else UNREACHABLE_GRACE_S,
    )
