"""Runs small programs on a stack of their own."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.pulumi_cli import PulumiCli, Report, resource

NAME = "small"


class Stack:
    """A stack in a file backend of its own.

    Attributes:
        folder: The program's folder, to which its relative paths are relative.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        """Creates the stack.

        Args:
            folder: An empty folder.
            variables: What Pulumi gets besides this process's own variables.
        """
        self._cli = PulumiCli(folder=folder / "pulumi", passphrase=NAME, variables=variables)
        self.folder = folder / "program"
        self.folder.mkdir()
        (self.folder / "Pulumi.yaml").write_text(f"name: {NAME}\nruntime: python\n")
        self._cli.ask(self.folder, "stack", "init", NAME)

    def preview(self, program: str) -> Report:
        """`pulumi preview` of a program's text."""
        self._write(program)
        return self._cli.report(self.folder, "preview")

    def up(self, program: str) -> Report:
        """`pulumi up` of a program's text."""
        self._write(program)
        return self._cli.report(self.folder, "up", "--yes", "--skip-preview")

    def start_up(self, program: str) -> "subprocess.Popen[bytes]":
        """`pulumi up` that is not waited for; its output is thrown away."""
        self._write(program)
        return self._cli.start(self.folder, "up", "--yes", "--skip-preview")

    def refresh(self) -> Report:
        """`pulumi refresh`."""
        return self._cli.report(self.folder, "refresh", "--yes", "--skip-preview")

    def destroy(self) -> Report:
        """`pulumi destroy`."""
        return self._cli.report(self.folder, "destroy", "--yes", "--skip-preview")

    def state(self) -> str:
        """The state as it is stored: JSON, secrets encrypted."""
        return self._cli.state(NAME, NAME)

    def resource(self, name: str) -> Mapping[str, Any]:
        """A resource of the state.

        Raises:
            KeyError: The state has none of that name.
        """
        return resource(self.state(), name)

    def outputs(self) -> Mapping[str, Any]:
        """The stack's outputs; secrets are encrypted."""
        return dict(self.resource(f"{NAME}-{NAME}")["outputs"])

    def _write(self, program: str) -> None:
        (self.folder / "__main__.py").write_text(dedent(program))
