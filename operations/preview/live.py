"""What Pulumi itself says that it would do, from a stack's live state."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pulumi.runtime import rpc

from operations.errors import OperationsError
from operations.preview.changes import Action, Change, Resource, in_order
from operations.preview.differences import ABSENT, Property, differences
from operations.preview.differences import Path as PropertyPath
from operations.recording.listing import SECRET
from operations.recording.recorder import COMPONENT, STACK

_REPLACED = {"replace", "create-replacement", "delete-replaced"}
_ACTIONS = {"create": Action.CREATE, "update": Action.UPDATE, "delete": Action.DELETE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """A stack's preview by Pulumi.

    Attributes:
        changes: What would be done.
        before: The resources that there are.
        after: The resources that there would be.
        refused: Why Pulumi would do nothing, in its words.
    """

    changes: tuple[Change, ...] = ()
    before: tuple[Resource, ...] = ()
    after: tuple[Resource, ...] = ()
    refused: str = ""


def preview_live(project: Path, stack: str, settings: Path) -> Live:
    """Run `pulumi preview` with the credentials of this shell; it changes nothing.

    Args:
        project: The project's folder.
        stack: The stack's name, as Pulumi takes it.
        settings: The stack's file.

    Raises:
        OperationsError: Pulumi is not installed, or the file cannot be read.
    """
    with TemporaryDirectory(prefix="ft-serving-preview-") as scratch:
        # Pulumi may write into a stack's file, such as the salt of its secrets.
        copy = Path(scratch) / settings.name
        try:
            shutil.copyfile(settings, copy)
            done = subprocess.run(
                ["pulumi", "preview", "--json", "--show-sames", "--non-interactive",
                 "--color", "never", "--stack", stack, "--config-file", str(copy)],
                cwd=project,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )  # fmt: skip
        except OSError as exc:
            raise OperationsError(
                f"`pulumi preview` of {stack} cannot be run: {exc}. Without --live neither Pulumi "
                "nor credentials are needed"
            ) from exc
    digest = _digest(done.stdout)
    if done.returncode != 0 or digest is None:
        return Live(refused=_reason(digest or {}, done.stderr or done.stdout))
    return summarised(digest.get("steps", []))


def summarised(steps: Sequence[Mapping[str, Any]]) -> Live:
    """Read the steps of `pulumi preview --json`: `PreviewStep` in its pkg/display/json.go."""
    by_urn: dict[str, list[Mapping[str, Any]]] = {}
    for step in steps:
        kind = step["urn"].split("::")[2].rpartition("$")[2]
        if kind != STACK and not kind.startswith(COMPONENT) and "read" not in step["op"]:
            by_urn.setdefault(step["urn"], []).append(step)
    of = {urn: _Steps(urn=urn, steps=tuple(steps)) for urn, steps in by_urn.items()}
    changes = [change for each in of.values() for change in each.changes()]
    return Live(
        changes=in_order(changes),
        before=tuple(it.before for it in of.values() if it.before),
        after=tuple(it.after for it in of.values() if it.after and "delete" not in it.operations),
    )


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """All steps of one resource: a replacement has three."""

    urn: str
    steps: tuple[Mapping[str, Any], ...]

    @property
    def operations(self) -> set[str]:
        return {str(step["op"]) for step in self.steps}

    @property
    def before(self) -> Resource | None:
        return self._resource("oldState")

    @property
    def after(self) -> Resource | None:
        return self._resource("newState")

    def changes(self) -> Iterator[Change]:
        if self.operations & _REPLACED:
            yield self._change(Action.REPLACE)
            return
        for operation in self.operations & _ACTIONS.keys():
            yield self._change(_ACTIONS[operation])

    def _change(self, action: Action) -> Change:
        before, after = self.before, self.after
        resource = before or after
        if resource is None:
            raise OperationsError(f"Pulumi tells nothing about {self.urn}")
        if before is None or after is None or action in (Action.CREATE, Action.DELETE):
            return Change(action=action, resource=resource)
        properties = tuple(differences(before.inputs, after.inputs))
        told = [_path(it) for it in self._told("diffReasons", "detailedDiff")]
        properties = properties or tuple(
            Property(path=path, old=ABSENT, new=ABSENT) for path in told
        )
        rules = [_path(it) for it in self._told("replaceReasons")]
        return Change(
            action=action,
            resource=before,
            properties=properties,
            reasons=tuple(it for it in properties if any(it.lies_in(rule) for rule in rules)),
        )

    def _told(self, *names: str) -> list[str]:
        found = (step.get(name) or () for step in self.steps for name in names)
        return list(dict.fromkeys(path for paths in found for path in paths))

    def _resource(self, name: str) -> Resource | None:
        states = [step[name] for step in self.steps if step.get(name)]
        if not states:
            return None
        state = states[0]
        return Resource(
            type=state["type"],
            name=self.urn.rpartition("::")[2],
            inputs=_plain(state.get("inputs") or {}),
            protect=state.get("protect", False),
            retain=state.get("retainOnDelete", False),
        )


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        if rpc._special_sig_key in value:
            return SECRET
        # What providers keep for themselves has two underscores.
        return {name: _plain(it) for name, it in value.items() if not name.startswith("__")}
    return [_plain(it) for it in value] if isinstance(value, list) else value


def _path(text: str) -> PropertyPath:
    """Read a path of Pulumi, such as `spec.containers[0]["a.b"]`, up to its first index.

    Items of lists are found by their names here and by their indices there.
    """
    parts: list[str] = []
    for name, quoted, index in re.findall(r'([^.\[\]]+)|\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]', text):
        if index:
            break
        parts.append(name or quoted)
    return tuple(parts)


def _digest(text: str) -> dict[str, Any] | None:
    try:
        digest = json.loads(text)
    except ValueError:
        return None
    return digest if isinstance(digest, dict) else None


def _reason(digest: Mapping[str, Any], shown: str) -> str:
    """What Pulumi says that is wrong: the program's errors, else all that it wrote."""
    errors = dict.fromkeys(
        str(it["message"]).strip().removeprefix("error: ")
        for it in digest.get("diagnostics") or ()
        if it.get("severity") == "error"
    )
    # The last one says that the program failed, once it has itself said why.
    told = [it for it in errors if not it.startswith("an unhandled error occurred")]
    return "\n".join(told or errors) or shown.strip() or "`pulumi preview` failed"
