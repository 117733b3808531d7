"""Commands that need a stack's configuration: they are there where the project's checkout is."""

import importlib
from pathlib import Path

import typer

ROOT = Path(__file__).parents[2]


def add_checkout_commands(app: typer.Typer) -> None:
    """Add the commands of the package `operations`, if it lies beside this package.

    An installed distribution has no stacks that such a command could be about.
    """
    if not (ROOT / "operations" / "commands.py").is_file():
        return
    for command in importlib.import_module("operations.commands").COMMANDS:
        app.command()(command)
