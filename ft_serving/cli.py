"""The `ft-serving` command.

Exit codes: 0 done, 1 an error with a message, 2 wrong usage, 130 and 143 interrupted by Ctrl-C and
by SIGTERM.
"""

import importlib
import signal
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

import typer

from ft_serving.core.errors import FtServingError
from ft_serving.core.terminal import standard_output

# An image has only the rooms that run in it; a checkout adds commands that need a stack's files.
_ROOMS = ("weights", "server", "client", "cluster", "openai")
_ADDED_COMMANDS = "ft_serving.commands"

# The extras of pyproject.toml, by the command that needs them.
_EXTRAS = {
    "weights": "weights",
    "serve": "server",
    "generate": "client",
    "benchmark": "client",
    "openai": "openai",
    "gate": "client,cluster",
    "gate-job": "cluster",
    "diagnose": "cluster",
    "preflight": "cluster,program",
    "preview": "program",
    "policy": "program",
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Serve language models on Triton, by FasterTransformer's protocol.",
)


def _add_commands() -> None:
    for room in _ROOMS:
        if find_spec(f"ft_serving.{room}") is not None:
            importlib.import_module(f"ft_serving.{room}.commands").add_commands(app)
    for entry in entry_points(group=_ADDED_COMMANDS):
        # An installed distribution names these commands, too, and has no package `operations`.
        if find_spec(entry.module.partition(".")[0]) is not None:
            entry.load()(app)


_add_commands()


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    with standard_output():
        try:
            app()
        except FtServingError as exc:
            _fail(str(exc))
        except ModuleNotFoundError as exc:
            if (exc.name or "").startswith("ft_serving"):
                raise
            _fail(_not_installed(exc.name or ""))


def _not_installed(package: str) -> str:
    command = next((each for each in sys.argv[1:] if not each.startswith("-")), "")
    extras = "plots" if package == "matplotlib" else _EXTRAS.get(command, "")
    return (
        f"{package} is not installed, which `ft-serving {command}` needs. In ft-serving's checkout "
        f"run: pip install '.[{extras}]'"
    )


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that the command cleans up behind itself.
    raise SystemExit(128 + signal.SIGTERM)


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"Error: {message}\n")
    raise SystemExit(1)
