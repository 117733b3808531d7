"""Names and values as people read them: on one line, harmless, and never a secret."""

import json
from collections.abc import Mapping
from itertools import takewhile

from operations.preview.differences import ABSENT, UNKNOWN, Property, is_secret, path_text
from operations.recording.listing import SECRET

_LONGEST = 160
"""Characters of a value."""

_KEPT = 20
"""Characters shown of what two values begin with alike, where both do not fit."""


def quoted(name: str) -> str:
    """A name between backticks, on one line, that nothing in it can end."""
    return f"`{printable(name).replace('`', chr(39)) or ' '}`"


def one_line(item: Property) -> str:
    """A property, its old and its new value; the path alone where both are the provider's own."""
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
    """A value with a text for each secret, for programs."""
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
    return printable(_json(value))


def _json(value: object) -> str:
    plain = masked(value)
    return SECRET if plain == SECRET else json.dumps(plain, ensure_ascii=False, sort_keys=True)


def _shortened(text: str, alike: int) -> str:
    begin, rest = ("…" if alike else ""), text[alike:]
    return begin + (rest if len(rest) <= _LONGEST else f"{rest[:_LONGEST]}…")


def printable(text: str) -> str:
    """Escape what would break a line, move the cursor or turn the direction of writing."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )
