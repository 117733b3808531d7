"""The ends of the platform's command lines, whatever happens to their output."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from local_platform.command_line import run
from local_platform.errors import PlatformError

FULL = "No space left on device; make room, then run it again"


def ending(raised: Exception, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Return the exit code of a command that raises, and its stderr."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        raise raised

    with pytest.raises(SystemExit) as caught:
        run(app)
    return caught.value.code, capsys.readouterr().err


@pytest.fixture(autouse=True)
def arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command"])


def test_what_a_user_can_act_on_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(PlatformError("tiny: broken"), capsys) == (1, "Error: tiny: broken\n")


def test_a_file_on_a_full_disk_is_one_message_that_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/images")
    assert ending(full, capsys) == (
        1,
        f"Error: /data/images cannot be written: {FULL}\n",
    )


def test_an_output_on_a_full_disk_is_one_message() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "local_platform.hub", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: the output or a file cannot be written: {FULL}\n",
    )
