"""Checks of the nodes that the server may run on, and of their room for its replicas."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from ft_serving.cluster.documents import Document, label, name
from operations.preflight.amounts import Amounts, amounts, plain, pod_amounts, service_pod, total
from operations.preflight.checks.namespace import is_own_pod
from operations.preflight.facts import FactKind, Facts, PreflightFinding, error, warning
from operations.preflight.needs import Needs

GPU = "nvidia.com/gpu"

_REPELLING = ("NoSchedule", "NoExecute")
_AUTOSCALER = "where an autoscaler adds such nodes, set cluster.preflight: warn"


def nodes(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Check labels, then taints, then size, then free room, up to the first that fails."""
    found = facts.objects.get(FactKind.NODES)
    if found is None:
        return
    requirements = needs.config.node_requirements
    labelled = [
        node for node in found if all(label(node, it.key) in it.values for it in requirements)
    ]
    taken = [each for each in labelled if not _repelling(needs, each)]
    if not labelled:
        yield _no_label(needs, found)
    elif not taken:
        yield _tainted(needs, labelled)
    else:
        yield from _room(needs, facts, taken)


def _no_label(needs: Needs, found: Sequence[Document]) -> PreflightFinding:
    requirements = needs.config.node_requirements
    wanted = ", ".join(f"{it.key} {' or '.join(it.values)}" for it in requirements)
    there = "; ".join(
        f"{it.key}: {', '.join(sorted({label(node, it.key) for node in found} - {''})) or 'none'}"
        for it in requirements
    )
    return error(
        "Node labels",
        found=f"{len(found)} node(s), with {there}" if found else "no nodes",
        needed=f"at least one node with {wanted}" if wanted else "at least one",
        remedy="Set gpu.type, scheduling.nodeLabels or scheduling.region to what there is; "
        + _AUTOSCALER,
    )


def _tainted(needs: Needs, labelled: Sequence[Document]) -> PreflightFinding:
    taints = [taint for node in labelled for taint in _repelling(needs, node)]
    shown = {f"{each['key']}={each.get('value', '')}:{each['effect']}" for each in taints}
    keys = sorted({each["key"] for each in taints})
    return error(
        "Taints of nodes",
        found=f"{', '.join(sorted(shown))} on all {len(labelled)} that could be taken",
        needed="one node whose taints are tolerated, and that takes new pods",
        remedy=f"Set scheduling.tolerations: {' '.join(f'- key: {key}' for key in keys)}",
    )


def _repelling(needs: Needs, node: Document) -> list[Mapping[str, str]]:
    """Return the taints that keep the server away; a cordoned node has one."""
    tolerations = needs.predictor.get("tolerations", ())
    return [
        taint
        for taint in node["spec"].get("taints") or ()
        if taint["effect"] in _REPELLING
        and not any(_tolerates(each, taint) for each in tolerations)
    ]


def _tolerates(toleration: Document, taint: Document) -> bool:
    equal = toleration.get("operator", "Equal") == "Equal"
    return (
        toleration.get("key") in (None, taint["key"])
        and toleration.get("effect") in (None, taint["effect"])
        and (not equal or (toleration.get("value") or "") == taint.get("value", ""))
    )


def _room(needs: Needs, facts: Facts, taken: Sequence[Document]) -> Iterator[PreflightFinding]:
    wanted: Amounts = service_pod(needs.predictor, needs, facts)["requests"]
    whole = [amounts(each["status"].get("allocatable", {})) for each in taken]
    first, fit = needs.replicas_at_first, sum(_fits(node, wanted) for node in whole)
    if fit == 0:
        yield error(
            "Nodes",
            found=f"{len(taken)} to choose from, the largest with {_largest(whole, wanted)}",
            needed=f"one for a replica: {_listed(wanted)}",
            remedy=f"Lower resources, or take larger nodes; {_AUTOSCALER}",
        )
        return
    if fit < first:
        yield error(
            "Nodes",
            found=f"room for {fit} replica(s)",
            needed=f"{first}, each of {_listed(wanted)}",
            remedy=f"Lower replicas.min, or add nodes; {_AUTOSCALER}",
        )
        return
    # A rollout needs one more replica for a while, unless it ends the old one first.
    spare = needs.config.scheduling.spare_gpu and GPU in wanted
    most = max(needs.config.scaling.max, first + spare)
    if fit < most:
        yield warning(
            "Nodes",
            found=f"room for {fit} replica(s)",
            needed=f"{most} at most, with one more during a rollout unless scheduling.spareGpu is "
            "false",
            remedy="Lower replicas.max, set scheduling.spareGpu: false, or add nodes",
        )
    if facts.objects.get(FactKind.PODS) is not None:
        yield from _free(needs, facts, taken, wanted)


def _free(
    needs: Needs, facts: Facts, taken: Sequence[Document], wanted: Amounts
) -> Iterator[PreflightFinding]:
    others: dict[str, list[Amounts]] = defaultdict(list)
    for pod in facts.all(FactKind.PODS):
        if not is_own_pod(needs, pod):
            others[pod["spec"].get("nodeName", "")].append(pod_amounts(pod)["requests"])
    used = {node: total(each) for node, each in others.items()}
    left = [
        {
            resource: value - used.get(name(each), {}).get(resource, Decimal())
            for resource, value in amounts(each["status"]["allocatable"]).items()
        }
        for each in taken
    ]
    fit = sum(_fits(node, wanted) for node in left)
    if fit >= needs.replicas_at_first:
        return
    # Pods hold GPUs for days; those that hold cores may end before the cores are needed.
    say = error if GPU in wanted else warning
    yield say(
        "Room on nodes",
        found=f"enough for {fit} replica(s) beside other pods; the most free is "
        + _largest(left, wanted),
        needed=f"{needs.replicas_at_first}, each of {_listed(wanted)}",
        remedy="`kubectl describe nodes` shows what is taken; end other pods, or add nodes",
    )


def _fits(node: Amounts, wanted: Amounts) -> int:
    """Return how many pods of a kind fit onto a node."""
    counts = (node.get(key, Decimal()) // value for key, value in wanted.items() if value)
    return max(0, int(min(counts, default=Decimal())))


def _largest(nodes_of: Sequence[Amounts], wanted: Amounts) -> str:
    best = max(nodes_of, key=lambda node: tuple(node.get(key, Decimal()) for key in (GPU, "cpu")))
    return _listed({resource: best.get(resource, Decimal()) for resource in wanted})


def _listed(resources: Amounts) -> str:
    return ", ".join(f"{plain(key, value)} {key}" for key, value in resources.items())
