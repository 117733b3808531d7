"""Guards a command against an output that does not take what it prints."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def standard_output() -> Iterator[None]:
    """Return a context in which an output that fails does not end a command in a traceback.

    Characters that the output's encoding lacks are escaped. A disk that is full ends the command
    with a message. A reader that has gone, as `head` does, ends it without one.
    """
    for name in ("stdout", "stderr"):
        # Whoever started the command has closed it, and wants nothing of it.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            _flush()
    except OSError as exc:
        if exc.errno in _FULL:
            sys.stderr.write(f"Error: the output cannot be written: {exc.strerror}\n")
        elif not isinstance(exc, BrokenPipeError):
            raise
        raise SystemExit(1) from exc


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # What is left would be written once more when Python ends, and fail there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
