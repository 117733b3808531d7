"""What programs ask to be waited for, by the annotation `pulumi.com/waitFor`.

Its forms: `condition=TYPE` (that is, TYPE=True), `condition=TYPE=STATUS`, `jsonpath=PATH` (has a
value), `jsonpath=PATH=VALUE`, and a JSON list of these, all of which have to hold.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from local_platform.plugins.errors import PluginError
from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.readiness.jsonpath import as_text, find
from local_platform.plugins.kubernetes.readiness.state import (
    READY,
    Check,
    State,
    condition,
    label,
    observed,
    waiting,
)

WAIT_FOR = "pulumi.com/waitFor"

_Test = Callable[[Object], str | None]
"""What is missing, or None."""


def check_wanted(annotation: str) -> Check:
    """The check for an annotation's value.

    Raises:
        PluginError: The annotation cannot be understood.
    """
    tests = [_test(expression) for expression in _expressions(annotation)]

    def check(thing: Object, _: Cluster) -> State:
        if not observed(thing):
            # Conditions of the spec before this one would be believed.
            return waiting(f"Waiting for {label(thing)} to be seen by its controller")
        missing = [text for test in tests if (text := test(thing)) is not None]
        return waiting("; ".join(missing)) if missing else READY

    return check


def check_established(definition: Object, _: Cluster) -> State:
    """A CustomResourceDefinition is ready when its kind is served."""
    missing = _Condition(kind="Established", wanted="True")(definition)
    return waiting(missing) if missing else READY


def _expressions(annotation: str) -> list[str]:
    if not annotation.lstrip().startswith("["):
        return [annotation]
    try:
        listed = json.loads(annotation)
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise PluginError(f"{WAIT_FOR}: must be an expression or a JSON list of them: {annotation}")
    return listed


def _test(expression: str) -> _Test:
    form, separator, rest = expression.strip().partition("=")
    if not separator or not rest or form not in {"condition", "jsonpath"}:
        raise PluginError(
            f"{WAIT_FOR}: {expression!r} is not understood; use condition=TYPE[=STATUS] or "
            "jsonpath=PATH[=VALUE]"
        )
    if form == "condition":
        kind, _, wanted = rest.partition("=")
        return _Condition(kind=kind, wanted=wanted or "True")
    # The path itself may hold "==" in a filter, and is then in braces.
    end = rest.rfind("}") + 1
    path, _, value = (rest[:end], "", rest[end:].removeprefix("=")) if end else rest.partition("=")
    find(path, {})
    return _JsonPath(path=path, wanted=value or None)


@dataclass(frozen=True, kw_only=True)
class _Condition:
    kind: str
    wanted: str

    def __call__(self, thing: Object) -> str | None:
        found = condition(thing, self.kind)
        if found is None:
            return f"Waiting for condition {self.kind} (want {self.wanted})"
        if str(found["status"]).lower() == self.wanted.lower():
            return None
        told = " ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
        text = f"Resource has condition {self.kind}={found['status']} (want {self.wanted})"
        return f"{text}: {told}" if told else text


@dataclass(frozen=True, kw_only=True)
class _JsonPath:
    path: str
    wanted: str | None

    def __call__(self, thing: Object) -> str | None:
        found = find(self.path, thing)
        if not found:
            return f"Waiting for a value at {self.path}"
        values = [as_text(value) for value in found]
        if self.wanted is None or all(value == self.wanted for value in values):
            return None
        return f"Resource has {self.path}={','.join(values)} (want {self.wanted})"
