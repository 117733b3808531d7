"""The part of kubectl's JSONPath that finds values: names, indices, `[*]` and equality filters.

Syntax: https://kubernetes.io/docs/reference/kubectl/jsonpath/, in its relaxed form.
"""

import re
from typing import Any

from local_platform.plugins.errors import PluginError

_STEP = re.compile(
    r"""
      \.?\[\?\(\s*@\.(?P<key>[\w./-]+)\s*==\s*(?P<quote>["'])(?P<wanted>.*?)(?P=quote)\s*\)\]
    | \.?\[(?P<index>-?\d+)\]
    | \.?\[(?P<all>\*)\]
    | \.?\[(?P<mark>["'])(?P<quoted>.*?)(?P=mark)\]
    | \.?(?P<name>(?:[\w/-]|\\.)+)
    """,
    re.VERBOSE,
)


def find(path: str, value: Any) -> list[Any]:  # noqa: ANN401 - any JSON
    """The values at a path.

    Raises:
        PluginError: The path is not of the supported kind.
    """
    inner = path.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    inner = inner.removeprefix("$")
    found, position = [value], 0
    while position < len(inner):
        step = _STEP.match(inner, position)
        if step is None:
            raise PluginError(
                f"{path}: is not supported as a JSONPath from position {position}; use names, "
                'indices, [*] and filters such as [?(@.type=="Ready")]'
            )
        found = [inside for outside in found for inside in _inside(step, outside)]
        position = step.end()
    return found


def _inside(step: re.Match[str], value: Any) -> list[Any]:  # noqa: ANN401 - any JSON
    name = step["quoted"] if step["quoted"] is not None else step["name"]
    if name is not None:
        name = re.sub(r"\\(.)", r"\1", name)
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step["index"] is not None:
        index = int(step["index"])
        return value[index:][:1] if -len(value) <= index < len(value) else []
    if step["all"] is not None:
        return value
    return [item for item in value if _text(find(f".{step['key']}", item)) == step["wanted"]]


def _text(found: list[Any]) -> str | None:
    return as_text(found[0]) if len(found) == 1 else None


def as_text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """A value as kubectl prints it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
