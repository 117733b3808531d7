"""What a command's output cannot take: it ends in text or a message, never in a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO

import pytest

from tests.client.fake_triton import FakeTriton

ROOT = Path(__file__).parents[1]
CLI = ("-c", "from ft_serving.cli import main; main()")
PROMPT = "café € 😀 …"


def run(
    command: tuple[str, ...],
    stdout: int | IO[bytes] = subprocess.PIPE,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[bytes]:
    # An empty one is none: Python buffers its output, as it does for most people.
    settings = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **variables}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )


def generate(triton: FakeTriton, *arguments: str) -> tuple[str, ...]:
    tokenizer = str(ROOT / "models" / "tiny-gptj" / "tokenizer.json")
    asked = ("--url", triton.url, "--tokenizer", tokenizer, "--prompt", PROMPT)
    return (*CLI, "generate", *asked, *arguments)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_text_that_cannot_be_shown_is_escaped(encoding: str) -> None:
    variables = {"PYTHONIOENCODING": encoding}
    with FakeTriton() as triton:
        people = run(generate(triton), variables=variables)
        programs = run(generate(triton, "--json"), variables=variables)
    assert (people.returncode, people.stderr) == (0, b"")
    cafe = "café".encode(encoding, "backslashreplace")
    assert people.stdout.startswith(b"Output: " + cafe + rb" \u20ac \U0001f600 \u2026")
    assert json.loads(programs.stdout)["results"][0]["prompt"] == PROMPT


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("form", ["--json", "--stream"])
def test_a_full_disk_is_one_message(unbuffered: str, form: str) -> None:
    variables = {"PYTHONUNBUFFERED": unbuffered}
    with FakeTriton() as triton, Path("/dev/full").open("wb") as full:
        done = run(generate(triton, form), stdout=full, variables=variables)
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert lines[-1] == "Error: the output cannot be written: No space left on device"
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    "command",
    [
        (*CLI, "--help"),
        ("-m", "benchmarks.convert", "--help"),
    ],
)
def test_no_command_ends_in_a_traceback_for_its_output(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(command, stdout=full)
    assert (done.returncode, done.stderr) == (
        1,
        b"Error: the output cannot be written: No space left on device\n",
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(command, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b""), "who has read enough needs no message"


def test_a_closed_output_is_written_to_nowhere() -> None:
    with FakeTriton() as triton:
        command = " ".join(f"'{each}'" for each in (sys.executable, *generate(triton)))
        done = subprocess.run(
            ["sh", "-c", f"{command} >&- 2>&-"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
    assert done.returncode == 0
