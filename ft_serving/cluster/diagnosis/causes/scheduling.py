"""Pods that fit on no node."""

import re
from collections.abc import Iterator

from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import ROOM_GRACE_S, SCALE_UP_GRACE_S, Cause, Finding
from ft_serving.cluster.documents import Document, condition, containers, is_ending, name, since

# The cluster autoscaler's and Karpenter's events for a pod that they add a node for.
_NODE_IS_COMING = ("TriggeredScaleUp", "Nominated")
# The scheduler's other attempts, which do not say what is missing.
_ASIDE = re.compile(r"\.? *(no new claims to deallocate|preemption: ).*", re.DOTALL)
_INSUFFICIENT = re.compile(r"(\d+) Insufficient ([\w./-]+)")
_AFFINITY = "didn't match Pod's node affinity/selector"
_MOST_NODES = 5
_REMEDY = ". Ask for what a node has (`kubectl describe nodes` shows it), or add one that has it"
_HELD = (
    ". The release that runs keeps its resources until this pod is ready: a rollout needs room for "
    "both, or has to stop the old one first"
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
            f"{_HELD if held else _REMEDY}",
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
