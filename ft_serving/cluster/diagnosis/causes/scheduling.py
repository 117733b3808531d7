"""Pods that fit on no node."""

import re
from collections.abc import Iterable, Iterator

from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import (
    GRACE_S,
    ROOM_GRACE_S,
    SCALE_UP_GRACE_S,
    Cause,
    Finding,
    found,
)
from ft_serving.cluster.documents import Document, condition, containers, name, since

# The cluster autoscaler's and Karpenter's events for a pod that they add a node for.
_NODE_IS_COMING = ("TriggeredScaleUp", "Nominated")
# What the scheduler tried besides; it says nothing about what is missing.
_ASIDE = re.compile(r"\.? *(no new claims to deallocate|preemption: ).*", re.DOTALL)
_INSUFFICIENT = re.compile(r"(\d+) Insufficient ([\w./-]+)")
_AFFINITY = "didn't match Pod's node affinity/selector"
_MOST_NODES = 5
_REMEDY = ". Ask for what a node has (`kubectl describe nodes` shows it), or add one that has it"


def unschedulable_pods(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Pods that the scheduler finds no node for; those that wait for a claim are not among them."""
    for pod in snapshot.pods():
        scheduled = condition(pod, "PodScheduled")
        said = scheduled.get("message", "")
        if scheduled.get("reason") != "Unschedulable" or "persistentvolumeclaim" in said.lower():
            continue
        yield found(
            snapshot,
            Cause.UNSCHEDULABLE,
            f"Pod {name(pod)} fits on no node: {_reasons(snapshot, pod, said)}"
            f"{_held(snapshot) or _REMEDY}",
            since=since(scheduled, snapshot.begun),
            grace_s=_grace_s(snapshot, pod),
        )


def _grace_s(snapshot: NamespaceSnapshot, pod: Document) -> float:
    if snapshot.events("Pod", name(pod), _NODE_IS_COMING):
        return SCALE_UP_GRACE_S
    return ROOM_GRACE_S if snapshot.ending() else GRACE_S[Cause.UNSCHEDULABLE]


def _reasons(snapshot: NamespaceSnapshot, pod: Document, said: str) -> str:
    core = _ASIDE.sub("", said).strip().rstrip(".")
    head, _, rest = core.partition(": ")
    words = [_reason(snapshot, pod, each) for each in (rest or head).split(", ")]
    return f"{head}: {'; '.join(words)}" if rest else words[0]


def _reason(snapshot: NamespaceSnapshot, pod: Document, said: str) -> str:
    if match := _INSUFFICIENT.fullmatch(said.strip()):
        count, resource = match.groups()
        asked = ", ".join(_asked(pod, resource))
        return f"{count} with too little {resource} (asked for: {asked}{_had(snapshot, resource)})"
    if _AFFINITY in said:
        labels = " and ".join(_wanted_labels(pod["spec"]))
        return f"{said} (asked for: {labels})"
    return said


def _asked(pod: Document, resource: str) -> Iterator[str]:
    for container in containers(pod):
        value = container.get("resources", {}).get("requests", {}).get(resource)
        if value is not None:
            yield f"{container['name']} {value}"


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


def _wanted_labels(spec: Document) -> Iterable[str]:
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield f"label {key}={value}"
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = [
        " and ".join(_expression(each) for each in term.get("matchExpressions", ()))
        for term in required.get("nodeSelectorTerms", ())
    ]
    if terms:
        yield " or ".join(terms)


def _expression(expression: Document) -> str:
    values = ", ".join(expression.get("values", ()))
    return f"label {expression['key']} {expression['operator']} {values}".rstrip()


def _held(snapshot: NamespaceSnapshot) -> str:
    new = {name(pod) for pod in snapshot.pods()}
    old = [pod for pod in snapshot.own(Kind.PODS) if name(pod) not in new]
    if not any("deletionTimestamp" not in pod["metadata"] for pod in old):
        return ""
    return (
        ". The release that runs keeps its resources until this pod is ready: a rollout needs room "
        "for both, or has to stop the old one first"
    )
