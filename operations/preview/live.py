"""Asks Pulumi for the changes to a stack's live state."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pulumi.runtime import rpc

from operations.errors import OperationsError
from operations.preview.compare import Action, Change, Resource, in_order
from operations.preview.differences import ABSENT, Property, differences
from operations.preview.differences import Path as PropertyPath
from operations.preview.rendered import run
from operations.recording.listing import SECRET
from operations.recording.recorder import COMPONENT, STACK

_ACTIONS = {
    "create": Action.CREATE,
    "update": Action.UPDATE,
    "delete": Action.DELETE,
    "replace": Action.REPLACE,
    "create-replacement": Action.REPLACE,
    "delete-replaced": Action.REPLACE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """Pulumi's preview of a stack."""

    changes: tuple[Change, ...] = ()  # The changes.
    before: tuple[Resource, ...] = ()  # The present resources.
    after: tuple[Resource, ...] = ()  # The resources that there would be.
    refused: str = ""  # Pulumi's reason to do nothing, in its words.


def preview_live(project: Path, stack: str, settings: Path) -> Live:
    """Run `pulumi preview` of a stack, with this shell's credentials; it changes nothing.

    Raises:
        OperationsError: Pulumi is not installed, or the file cannot be read.
    """
    with TemporaryDirectory(prefix="ft-serving-preview-") as scratch:
        # Pulumi may write into a stack's file, such as the salt of its secrets.
        copy = Path(scratch) / settings.name
        try:
            shutil.copyfile(settings, copy)
            done = run(
                ["pulumi", "preview", "--json", "--show-sames", "--non-interactive",
                 "--color", "never", "--stack", stack, "--config-file", str(copy)],
                project,
            )  # fmt: skip
        except OSError as exc:
            raise OperationsError(
                f"`pulumi preview` of {stack} cannot be run: {exc}. Without --live neither Pulumi "
                "nor credentials are needed"
            ) from exc
    try:
        digest = json.loads(done.stdout)
    except ValueError:
        digest = None
    if done.returncode != 0 or not isinstance(digest, dict):
        said = digest if isinstance(digest, dict) else {}
        return Live(refused=_reason(said, done.stderr or done.stdout))
    return summarised(digest.get("steps", []))


def summarised(steps: Sequence[Mapping[str, Any]]) -> Live:
    """Read the steps of `pulumi preview --json`: `PreviewStep` in its pkg/display/json.go."""
    by_urn: dict[str, list[Mapping[str, Any]]] = {}
    for step in steps:
        kind = step["urn"].split("::")[2].rpartition("$")[2]
        if kind != STACK and not kind.startswith(COMPONENT) and "read" not in step["op"]:
            by_urn.setdefault(step["urn"], []).append(step)
    changes: list[Change] = []
    before: list[Resource] = []
    after: list[Resource] = []
    # A replacement has three steps.
    for of_one in by_urn.values():
        operations = {str(step["op"]) for step in of_one}
        old, new = (_resource(of_one, name) for name in ("oldState", "newState"))
        if old:
            before.append(old)
        if new and "delete" not in operations:
            after.append(new)
        actions = {_ACTIONS[each] for each in operations if each in _ACTIONS}
        if Action.REPLACE in actions:
            actions = {Action.REPLACE}
        changes += [_change(action, old, new, of_one) for action in actions]
    return Live(changes=in_order(changes), before=tuple(before), after=tuple(after))


def _change(
    action: Action, old: Resource | None, new: Resource | None, steps: Sequence[Mapping[str, Any]]
) -> Change:
    resource = old or new
    if resource is None:
        raise OperationsError(f"Pulumi says nothing about {steps[0]['urn']}")
    if old is None or new is None or action in (Action.CREATE, Action.DELETE):
        return Change(action=action, resource=resource)
    properties = tuple(differences(old.inputs, new.inputs)) or tuple(
        Property(path=path, old=ABSENT, new=ABSENT)
        for path in _paths(steps, "diffReasons", "detailedDiff")
    )
    rules = _paths(steps, "replaceReasons")
    reasons = tuple(it for it in properties if any(it.lies_in(rule) for rule in rules))
    return Change(action=action, resource=resource, properties=properties, reasons=reasons)


def _resource(steps: Sequence[Mapping[str, Any]], name: str) -> Resource | None:
    state = next((step[name] for step in steps if step.get(name)), None)
    if state is None:
        return None
    return Resource(
        type=state["type"],
        name=steps[0]["urn"].rpartition("::")[2],
        inputs=_plain(state.get("inputs") or {}),
        protect=state.get("protect", False),
        retain=state.get("retainOnDelete", False),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        if rpc._special_sig_key in value:
            return SECRET
        # Providers keep properties of their own under names with two underscores.
        return {name: _plain(it) for name, it in value.items() if not name.startswith("__")}
    return [_plain(it) for it in value] if isinstance(value, list) else value


def _paths(steps: Sequence[Mapping[str, Any]], *names: str) -> list[PropertyPath]:
    """Return Pulumi's paths, such as `spec.containers[0]["a.b"]`, each up to its first index.

    Items of lists are found by their names here and by their indices there.
    """
    texts = (text for step in steps for name in names for text in step.get(name) or ())
    paths: list[PropertyPath] = []
    for text in dict.fromkeys(texts):
        part = r'([^.\[\]]+)|\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]'
        path: list[str] = []
        for name, quoted, index in re.findall(part, text):
            if index:
                break
            path.append(name or quoted)
        paths.append(tuple(path))
    return paths


def _reason(digest: Mapping[str, Any], shown: str) -> str:
    """Return the errors in Pulumi's words: the program's, or else all that Pulumi wrote."""
    errors = dict.fromkeys(
        str(it["message"]).strip().removeprefix("error: ")
        for it in digest.get("diagnostics") or ()
        if it.get("severity") == "error"
    )
    # The last one says that the program failed, once it has itself said why.
    told = [it for it in errors if not it.startswith("an unhandled error occurred")]
    return "\n".join(told or errors) or shown.strip() or "`pulumi preview` failed"
