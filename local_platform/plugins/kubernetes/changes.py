"""Differences between two versions of an object, by property path."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from local_platform.plugins.values import UNKNOWN, Secret, Value

Path = tuple[str | int, ...]

_OF_THE_SERVER: frozenset[Path] = frozenset(
    {
        ("status",),
        ("metadata", "managedFields"),
        ("metadata", "resourceVersion"),
        ("metadata", "generation"),
        ("metadata", "creationTimestamp"),
        ("metadata", "uid"),
    }
)
"""What changes by itself, and by every change."""

_PLAIN_NAME = re.compile(r"[A-Za-z_$][\w$]*")


class Change(Enum):
    """What became of a property."""

    ADDED = "added"
    DELETED = "deleted"
    UPDATED = "updated"


def changes(old: Value, new: Value) -> dict[Path, Change]:
    """Every innermost property that differs; a value that is not known yet counts as different."""
    return dict(_changes(old, new, ()))


def _changes(old: Value, new: Value, path: Path) -> Iterator[tuple[Path, Change]]:
    if path in _OF_THE_SERVER:
        return
    if isinstance(old, Secret) or isinstance(new, Secret):
        yield from _changes(
            old.value if isinstance(old, Secret) else old,
            new.value if isinstance(new, Secret) else new,
            path,
        )
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            yield from _member(old, new, name, path)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from _member(dict(enumerate(old)), dict(enumerate(new)), index, path)
    elif old is UNKNOWN or new is UNKNOWN or old != new:
        yield path, Change.UPDATED


def _member(
    old: Mapping[Any, Value], new: Mapping[Any, Value], name: str | int, path: Path
) -> Iterator[tuple[Path, Change]]:
    inner = (*path, name)
    if inner in _OF_THE_SERVER:
        return
    if name not in old:
        yield inner, Change.ADDED
    elif name not in new:
        yield inner, Change.DELETED
    else:
        yield from _changes(old[name], new[name], inner)


def shown(path: Path) -> str:
    """A path in the notation of the engine: `spec.containers[0].image`, `data["app.conf"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            text += f".{step}" if text else step
        else:
            quoted = step.replace('"', '\\"')
            text += f'["{quoted}"]'
    return text


def parsed(field: str) -> Path:
    """The path in a field name of the API server: `spec.template.spec.containers[0].image`."""
    return tuple(
        int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", field)
    )
