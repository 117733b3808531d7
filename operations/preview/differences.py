"""Properties that differ between two states of a resource, and how they are written.

Names and values are written on one line, without control characters, and never as a secret.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from operations.recording.listing import SECRET

Path = tuple[str | int, ...]


ABSENT: Final = object()
"""Stands for a property that is not there, because null is a value."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands for a value that is known once something else exists (Pulumi's `UnknownStringValue` in
sdk/go/common/resource/plugin)."""

_LONGEST = 160
"""Characters of a value."""

_KEPT = 20
"""Characters shown of the beginning that two values share, where both do not fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Property:
    """A property that differs."""

    path: Path  # Names and indices that lead to it.
    old: object  # Its value before; of a list whose length differs, the items that went.
    new: object  # Its value after; of a list whose length differs, the items that came.

    def lies_in(self, rule: Path) -> bool:
        """Return whether it is the property of a path, or part of it, or has it as a part."""
        shared = min(len(rule), len(self.path))
        return self.path[:shared] == rule[:shared]

    def __str__(self) -> str:
        return path_text(self.path)


def differences(old: object, new: object, path: Path = ()) -> Iterator[Property]:
    """Yield the innermost properties that differ, in the order of the old ones."""
    if (
        isinstance(old, Mapping)
        and isinstance(new, Mapping)
        and not (is_secret(old) or is_secret(new))
    ):
        for name in dict.fromkeys([*old, *new]):
            yield from differences(old.get(name, ABSENT), new.get(name, ABSENT), (*path, name))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(old, new, path)
    elif old != new:
        yield Property(path=path, old=old, new=new)


def is_secret(value: object) -> bool:
    """Return whether a value is a recording's mask of a secret."""
    return isinstance(value, Mapping) and set(value) == {SECRET}


def path_text(path: Path) -> str:
    """Return a path as people write it: `spec.containers[0]["a.b/c"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def quoted(name: str) -> str:
    """Return a name between backticks, on one line, that nothing in it can end."""
    return f"`{printable(name).replace('`', chr(39)) or ' '}`"


def printable(text: str) -> str:
    """Escape characters that break a line, move the cursor or turn the direction of writing."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def one_line(item: Property) -> str:
    """Return a property with its old and new value, or only its path if neither is known."""
    path = printable(path_text(item.path))
    if item.old is ABSENT and item.new is ABSENT:
        return path
    old, new = (_value(value, path) for value in (item.old, item.new))
    if max(len(old), len(new)) > _LONGEST:
        pairs = zip(old, new, strict=False)
        alike = max(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) - _KEPT, 0)
        old, new = _shortened(old, alike), _shortened(new, alike)
    return f"{path}: {old} → {new}"


def masked(value: object) -> object:
    """Return a value with a text for each secret, for programs."""
    if is_secret(value):
        return SECRET
    if isinstance(value, Mapping):
        return {name: masked(item) for name, item in value.items()}
    return [masked(item) for item in value] if isinstance(value, list) else value


def _value(value: object, path: str) -> str:
    if value is ABSENT:
        return "(none)"
    if value == UNKNOWN:
        return "(known once it exists)"
    if path == "kubeconfig" and isinstance(value, str) and "\n" in value:
        # The provider takes a path, or a whole kubeconfig with its credentials.
        return SECRET
    plain = masked(value)
    text = SECRET if plain == SECRET else json.dumps(plain, ensure_ascii=False, sort_keys=True)
    return printable(text)


def _shortened(text: str, alike: int) -> str:
    begin, rest = ("…" if alike else ""), text[alike:]
    return begin + (rest if len(rest) <= _LONGEST else f"{rest[:_LONGEST]}…")


def _of_lists(old: list[object], new: list[object], path: Path) -> Iterator[Property]:
    for key in ("name", "key"):
        # Items of Kubernetes's lists have a key, by which they are the same in any place.
        by_key = _by_key(old, key), _by_key(new, key)
        if by_key[0] is not None and by_key[1] is not None:
            yield from differences(*by_key, path)
            return
    if len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, (*path, index))
        return
    gone = [item for item in old if item not in new]
    come = [item for item in new if item not in old]
    yield (
        Property(path=path, old=gone or ABSENT, new=come or ABSENT)
        if gone or come
        else Property(path=path, old=old, new=new)
    )


def _by_key(items: Sequence[object], key: str) -> dict[str, object] | None:
    keyed: dict[str, object] = {
        str(it[key]): it for it in items if isinstance(it, Mapping) and key in it
    }
    return keyed if len(keyed) == len(items) else None
