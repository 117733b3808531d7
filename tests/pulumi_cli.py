"""Pulumi's own command line, and what its engine says that it did."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_platform import environment


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the engine with one resource: done, or in a preview foretold.

    Attributes:
        operation: As Pulumi names it: "create", "update", "same", "replace", "delete"…
        paths: The places that differ, such as `spec.predictor.minReplicas`.
    """

    operation: str
    type: str
    name: str
    diffs: list[str]
    paths: list[str]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of one command of Pulumi: its steps are those without stack and providers."""

    succeeded: bool
    seconds: float
    steps: list[Step]
    messages: str

    def step(self, name: str) -> Step:
        """The last step of a resource."""
        return [step for step in self.steps if step.name == name][-1]

    def operations(self, name: str) -> list[str]:
        """Return the steps of a resource, in order."""
        return [step.operation for step in self.steps if step.name == name]


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """Runs commands of Pulumi with a file backend and a home of their own, in an empty folder."""

    folder: Path
    passphrase: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._home.mkdir(parents=True)
        self._backend.mkdir(exist_ok=True)
        (self._home / "plugins").symlink_to(environment.PULUMI_HOME / "plugins")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that Pulumi runs with."""
        return {
            **os.environ,
            "PULUMI_BACKEND_URL": self._backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": self.passphrase,
            # The option --event-log is shown and taken only with it.
            "PULUMI_DEBUG_COMMANDS": "true",
            "PULUMI_HOME": str(self._home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **self.variables,
        }

    def state(self, project: str, stack: str) -> str:
        """A stack's state as it is stored: JSON, secrets encrypted."""
        # Asking the command line would take a second each time.
        return self._stored(project, stack).read_text()

    def state_is_whole(self, project: str, stack: str) -> bool:
        """Return whether a kill now would leave a state that Pulumi can read.

        Pulumi renames a finished state into place, but writes its attributes beside it in place.
        """
        stored = self._stored(project, stack)
        try:
            return all(
                json.loads(file.read_text())
                for file in (stored, stored.with_name(f"{stored.name}.attrs"))
            )
        except (OSError, ValueError):
            return False

    def start(self, program: Path, *arguments: str) -> "subprocess.Popen[bytes]":
        """Begin a command in a program's folder and throw its output away."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", *self._logged()],
            cwd=program,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def under_way(self) -> set[str]:
        """The names of the resources that the command which `start` began works on now.

        Without components, which begin before what they are made of, under the same names.
        """
        begun: set[str] = set()
        for event in self._events():
            if "resourcePreEvent" in event:
                begun.add(event["resourcePreEvent"]["metadata"]["urn"])
            if "resOutputsEvent" in event:
                begun.discard(event["resOutputsEvent"]["metadata"]["urn"])
        return {_name(urn) for urn in begun if not _is_component(urn)}

    def ask(self, program: Path, *arguments: str) -> str:
        """Run a command that has to succeed; return what it wrote."""
        done = self._run(program, arguments)
        assert done.returncode == 0, f"pulumi {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def report(self, program: Path, *arguments: str) -> Report:
        """Run a command that shows its steps."""
        began = time.monotonic()
        done = self._run(program, (*arguments, *self._logged()))
        return Report(
            succeeded=done.returncode == 0,
            seconds=time.monotonic() - began,
            steps=_steps(self._events()),
            messages=done.stdout + done.stderr,
        )

    def _logged(self) -> tuple[str, str]:
        """The options by which a command writes its events to a file of its own."""
        self.log.unlink(missing_ok=True)
        return "--event-log", str(self.log)

    def _events(self) -> list[dict[str, Any]]:
        """The events of the last command; the last one may be half written."""
        text = self.log.read_text() if self.log.exists() else ""
        whole, _, _ = text.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def _run(self, program: Path, arguments: Iterable[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=program,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def log(self) -> Path:
        """The engine's events of this process's last command."""
        return self.folder / f"events-{os.getpid()}"

    @property
    def _home(self) -> Path:
        return self.folder / "home"

    def _stored(self, project: str, stack: str) -> Path:
        return self._backend / f".pulumi/stacks/{project}/{stack}.json"

    @property
    def _backend(self) -> Path:
        return self.folder / "backend"


def platform_variables() -> dict[str, str]:
    """The variables of a user of the embedded platform."""
    variables = environment.variables()
    # The language host runs programs with the first Python on PATH.
    path = (str(environment.BIN), str(Path(sys.executable).parent), os.environ["PATH"])
    return {
        "PATH": os.pathsep.join(path),
        **{name: variables[name] for name in ("DOCKER_HOST", "KUBECONFIG")},
    }


def resources(state: str) -> list[dict[str, Any]]:
    """The resources of a state."""
    latest = json.loads(state)["checkpoint"]["latest"] or {}
    return list(latest.get("resources", []))


def resource(state: str, name: str) -> Mapping[str, Any]:
    """A resource of a state.

    Raises:
        KeyError: The state has none of that name.
    """
    for each in resources(state):
        if _name(each["urn"]) == name:
            return each
    raise KeyError(name)


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _is_component(urn: str) -> bool:
    """Return whether the last of the types, from the outermost parent's on, is a component's."""
    return urn.split("::")[2].rpartition("$")[2].startswith("ft-serving:components:")


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
            operation, urn = metadata["op"], metadata["urn"]
            steps[operation, urn] = Step(
                operation=operation,
                type=metadata["type"],
                name=_name(urn),
                diffs=metadata.get("diffs") or [],
                paths=sorted(metadata.get("detailedDiff") or {}),
                inputs=(metadata.get("new") or {}).get("inputs") or {},
                outputs=(metadata.get("new") or {}).get("outputs") or {},
            )
    return list(steps.values())
