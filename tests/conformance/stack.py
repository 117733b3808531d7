"""Runs small programs on a stack of their own, and tells what Pulumi's engine made of them."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the engine did, or in a preview would do, with one resource.

    Attributes:
        operation: As Pulumi names it: "create", "update", "same", "replace", "delete"…
        name: The resource's name.
        diffs: The names of the properties that changed.
        outputs: Its new outputs.
    """

    operation: str
    name: str
    diffs: list[str]
    outputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one command of Pulumi did.

    Attributes:
        succeeded: Whether it ended well.
        steps: In the order in which they began, without the stack and its providers.
        messages: All that was shown, also what did not stay on the screen.
    """

    succeeded: bool
    steps: list[Step]
    messages: str

    def step(self, name: str) -> Step:
        """The last step of a resource."""
        return [step for step in self.steps if step.name == name][-1]

    def operations(self, name: str) -> list[str]:
        """What was done with a resource, in order."""
        return [step.operation for step in self.steps if step.name == name]


class Stack:
    """A stack in a file backend of its own.

    Attributes:
        folder: The program's folder, to which its relative paths are relative.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Creates the stack.

        Args:
            folder: An empty folder.
            environment: What Pulumi gets besides this process's own variables.
        """
        self.folder = folder / "program"
        backend = folder / "backend"
        for each in (self.folder, backend):
            each.mkdir(parents=True)
        (self.folder / "Pulumi.yaml").write_text("name: conformance\nruntime: python\n")
        self._state = backend / ".pulumi/stacks/conformance/conformance.json"
        home = folder / "home"
        home.mkdir()
        installed = Path(os.environ.get("PULUMI_HOME", "~/.pulumi")).expanduser() / "plugins"
        if installed.is_dir():
            (home / "plugins").symlink_to(installed)
        self._events = folder / "events"
        self._environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "conformance",
            # Otherwise each command spends seconds on finding no newer plugins.
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            # The option --event-log is shown and taken only with it.
            "PULUMI_DEBUG_COMMANDS": "true",
            "PULUMI_HOME": str(home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **environment,
        }
        self._set_up("stack", "init", "conformance")

    def preview(self, program: str) -> Report:
        """`pulumi preview` of a program's text."""
        return self._command(program, "preview")

    def up(self, program: str) -> Report:
        """`pulumi up` of a program's text."""
        return self._command(program, "up", "--yes", "--skip-preview")

    def start_up(self, program: str) -> "subprocess.Popen[bytes]":
        """`pulumi up` that is not waited for; its output is thrown away."""
        self._write(program)
        return subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def refresh(self) -> Report:
        """`pulumi refresh`."""
        return self._command(None, "refresh", "--yes", "--skip-preview")

    def destroy(self) -> Report:
        """`pulumi destroy`."""
        return self._command(None, "destroy", "--yes", "--skip-preview")

    def configure(self, name: str, value: str) -> None:
        """Sets a value of the stack's configuration."""
        self._set_up("config", "set", name, value)

    def state(self) -> str:
        """The state as it is stored: JSON, secrets encrypted."""
        # Asking the command line would take a second each time.
        return self._state.read_text()

    def resource(self, name: str) -> Mapping[str, Any]:
        """A resource of the state.

        Raises:
            KeyError: The state has none of that name.
        """
        state = json.loads(self.state())["checkpoint"]["latest"] or {}
        for resource in state.get("resources", []):
            if _name(resource["urn"]) == name:
                return dict(resource)
        raise KeyError(name)

    def outputs(self) -> Mapping[str, Any]:
        """The stack's outputs; secrets are encrypted."""
        return dict(self.resource("conformance-conformance")["outputs"])

    def _write(self, program: str | None) -> None:
        if program is not None:
            (self.folder / "__main__.py").write_text(dedent(program))

    def _set_up(self, *arguments: str) -> None:
        subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )

    def _command(self, program: str | None, *arguments: str) -> Report:
        self._write(program)
        self._events.unlink(missing_ok=True)
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--event-log", str(self._events)],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = self._events.read_text().splitlines() if self._events.exists() else []
        return Report(
            succeeded=done.returncode == 0,
            steps=_steps(json.loads(line) for line in lines),
            messages=done.stdout + done.stderr,
        )


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _steps(events: Iterable[Mapping[str, Any]]) -> list[Step]:
    """A step begins with one event and has its outputs only in a later one."""
    steps: dict[tuple[str, str], Step] = {}
    for event in events:
        for kind in ("resourcePreEvent", "resOutputsEvent"):
            if kind not in event:
                continue
            metadata = event[kind]["metadata"]
            if metadata["type"].startswith("pulumi:"):
                continue
            operation, name = metadata["op"], _name(metadata["urn"])
            steps[operation, name] = Step(
                operation=operation,
                name=name,
                diffs=metadata.get("diffs") or [],
                outputs=(metadata.get("new") or {}).get("outputs") or {},
            )
    return list(steps.values())
