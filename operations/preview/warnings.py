"""Warnings about changes that lose data or stop the service."""

import re
from collections.abc import Iterable, Iterator

from operations.preview.compare import (
    CLAIM,
    INFERENCE_SERVICE,
    NAMESPACE,
    PROVIDER,
    Action,
    Change,
)
from operations.preview.differences import Property, quoted
from stacks.quantities import BYTES_PATTERN, parse_bytes

_CLUSTER = ("cluster", "context", "kubeconfig")
"""Settings of the provider that choose the cluster."""

_SIZE = ("spec", "resources", "requests", "storage")

_DOWNTIME = {
    Action.DELETE: "nothing answers from then on.",
    Action.REPLACE: (
        "the old service ends before the new one starts, and nothing answers until the model is "
        "loaded."
    ),
}


def warnings(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return a sentence for each danger; names in it are between backticks."""
    return tuple(text for change in changes for text in _of(change))


def _of(change: Change) -> Iterator[str]:
    kind = change.resource.type
    name = f"{change.resource.kind} {quoted(change.resource.object_name)}"
    if change.action in (Action.DELETE, Action.REPLACE):
        because = f" ({_paths(change.reasons)})" if change.reasons else ""
        what = f"{name} would be {change.action.value}d{because}"
        if kind.endswith(CLAIM):
            lost = "DATA LOSS, the new volume is empty. " if change.properties else ""
            yield f"{what}. {lost}{_fate(change, 'The weights on it are deleted.')}"
        elif kind.endswith(INFERENCE_SERVICE):
            yield f"{what}. DOWNTIME: {_DOWNTIME[change.action]}"
        elif kind.endswith(NAMESPACE):
            yield f"{what}. {_fate(change, 'All in it is deleted, the weights too.')}"
    moved = [it for it in change.properties if it.path[0] in _CLUSTER]
    if kind == PROVIDER and moved:
        yield (
            f"{_paths(moved)} would change. If that is another cluster, everything is created anew "
            "there, and what is here is left behind."
        )
    for item in change.properties:
        if kind.endswith(CLAIM) and item.path == _SIZE and _shrinks(item):
            yield (
                f"{name} would be smaller: {item.old} to {item.new}. Kubernetes refuses that, and "
                "`pulumi up` fails."
            )


def _fate(change: Change, deleted: str) -> str:
    if change.resource.protect:
        return "`pulumi up` refuses it while `storage.protect` is true."
    if change.resource.retain:
        return "Pulumi forgets the old one, which stays in the cluster."
    return deleted


def _paths(properties: Iterable[Property]) -> str:
    return ", ".join(quoted(str(it)) for it in properties)


def _shrinks(item: Property) -> bool:
    sizes = [it for it in (item.old, item.new) if isinstance(it, str)]
    if len(sizes) < 2 or not all(re.match(BYTES_PATTERN, size) for size in sizes):
        return False
    return parse_bytes(sizes[1]) < parse_bytes(sizes[0])
