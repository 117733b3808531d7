"""JSON objects without the laxities that let two readers see two contents."""

import json
from typing import Any

MAX_BYTES = 100_000_000
"""Limit of a header or an index, as in the safetensors library."""


def load_object(data: bytes) -> dict[str, Any]:
    """Parse a UTF-8 JSON object; nested objects must not repeat a key either.

    Raises:
        ValueError: It is not JSON, not an object, repeats a key, or nests too deeply.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError as exc:
        raise ValueError("nests too deeply") from exc
    if isinstance(value, dict):
        return value
    raise ValueError("is not a JSON object")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"has the key {key!r} twice")
        result[key] = value
    return result
