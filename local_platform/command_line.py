"""Runs the command lines of this package, and shows their tables."""

import errno
import io
import os
import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table

from local_platform.errors import PlatformError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(app: typer.Typer, name: str | None = None) -> None:
    """Run a command line; exit codes are 0 done, 1 an error with a message, 2 wrong usage.

    A full disk ends it with a message, whether of the output or of a file. typer ends it where the
    reader of its output has gone, as `head` does. Characters that the output's encoding lacks are
    escaped.

    Args:
        app: The commands.
        name: Its name in its help.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name=name)
    except PlatformError as exc:
        _fail(str(exc), exc)
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        # Python writes the rest of its buffer when it ends, and would fail there again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        what = exc.filename or "the output or a file"
        _fail(f"{what} cannot be written: {exc.strerror}; make room, then run it again", exc)


def _fail(message: str, cause: Exception) -> NoReturn:
    typer.echo(f"Error: {message}", err=True)
    raise SystemExit(1) from cause


def show(table: Table, *, width: int, soft_wrap: bool = False) -> None:
    """Print a table, as wide as the terminal, or that many characters where there is none."""
    console = Console(soft_wrap=soft_wrap)
    if not console.is_terminal:
        console.width = width
    console.print(table)
