"""Which properties differ between two states of a resource."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from operations.recording.listing import SECRET

Path = tuple[str | int, ...]


class Absent(Enum):
    """Stands for a property that is not there, because null is a value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What Pulumi writes for a value that is known once something else exists
(`UnknownStringValue` in its sdk/go/common/resource/plugin)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Property:
    """A property that differs.

    Attributes:
        path: Names and indices that lead to it.
        old: Its value before; of a list whose length differs, the items that went.
        new: Its value after; likewise those that came.
    """

    path: Path
    old: object
    new: object

    def lies_in(self, rule: Path) -> bool:
        """Tell whether it is the property of a path, or part of it, or has it as a part."""
        shared = min(len(rule), len(self.path))
        return self.path[:shared] == rule[:shared]

    def __str__(self) -> str:
        return path_text(self.path)


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
    """Tell whether a value is what a recording has instead of a secret."""
    return isinstance(value, Mapping) and set(value) == {SECRET}


def _of_lists(old: list[object], new: list[object], path: Path) -> Iterator[Property]:
    for key in ("name", "key"):
        # Items of Kubernetes's lists have a key, by which they are the same wherever they stand.
        by_key = _by_key(old, key), _by_key(new, key)
        if by_key[0] is not None and by_key[1] is not None:
            yield from differences(*by_key, path)
            return
    if len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, (*path, index))
        return
    gone, come = _without(old, new), _without(new, old)
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


def _without(items: Sequence[object], others: Sequence[object]) -> list[object]:
    return [item for item in items if item not in others]
