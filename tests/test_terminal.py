"""A command whose output fails ends in text or a message, never in a traceback."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[1]
TEXT = "café € 😀 …"
PRINTS = f"""
from ft_serving.core.terminal import standard_output
with standard_output():
    print({TEXT!r})
"""
HELP = "from ft_serving.cli import main; import sys; sys.argv[1:] = ['--help']; main()"
FULL = b"Error: the output cannot be written: No space left on device\n"


def run(
    code: str, stdout: int | IO[bytes] = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    # An empty one is none: Python buffers its output, as it does for most people.
    settings = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **variables}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **settings},
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_text_that_cannot_be_shown_is_escaped(encoding: str) -> None:
    done = run(PRINTS, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    cafe = "café".encode(encoding, "backslashreplace")
    assert done.stdout == cafe + rb" \u20ac \U0001f600 \u2026" + b"\n"


@pytest.mark.parametrize(
    ("code", "unbuffered"), [(PRINTS, ""), (PRINTS, "1"), (HELP, "")], ids=["", "unbuffered", "cli"]
)
def test_a_full_disk_is_one_message_and_a_reader_that_has_gone_needs_none(
    code: str, unbuffered: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(code, full, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (1, FULL)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(code, writer, PYTHONUNBUFFERED=unbuffered)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_closed_output_is_written_to_nowhere() -> None:
    done = subprocess.run(
        ["sh", "-c", f'{sys.executable} -c "$1" >&- 2>&-', "sh", PRINTS],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0
