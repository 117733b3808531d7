"""Outputs that are full, closed or lack characters: commands end in a message, not a traceback."""

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


def test_text_that_cannot_be_shown_is_escaped() -> None:
    with FakeTriton() as triton:
        done = run(generate(triton), variables={"PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Output: caf\xe9 " + rb"\u20ac \U0001f600 \u2026")


@pytest.mark.parametrize(("form", "unbuffered"), [("--json", ""), ("--stream", "1")])
def test_a_full_disk_is_one_message(form: str, unbuffered: str) -> None:
    variables = {"PYTHONUNBUFFERED": unbuffered}
    with FakeTriton() as triton, Path("/dev/full").open("wb") as full:
        done = run(generate(triton, form), stdout=full, variables=variables)
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert lines[-1] == "Error: the output cannot be written: No space left on device"
    assert "Traceback" not in done.stderr.decode()


def test_a_reader_that_has_read_enough_gets_no_message() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run((*CLI, "--help"), stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_closed_output_is_no_error() -> None:
    with FakeTriton() as triton:
        command = " ".join(f"'{each}'" for each in (sys.executable, *generate(triton)))
        done = subprocess.run(
            ["sh", "-c", f"{command} >&- 2>&-"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
    assert done.returncode == 0
