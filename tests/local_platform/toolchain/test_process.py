"""A child process whose lines are read as they come."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from local_platform.toolchain.process import run_reading


def run(script: str, folder: Path, lines: list[str], waits: list[float]) -> int:
    return run_reading(
        ["sh", "-c", script],
        folder=folder,
        environment=os.environ,
        on_line=lines.append,
        on_wait=lambda: waits.append(time.monotonic()),
    )


def test_lines_of_both_streams_and_the_status_are_passed_on(tmp_path: Path) -> None:
    lines: list[str] = []
    assert run("echo out; echo err >&2; pwd; exit 3", tmp_path, lines, []) == 3
    assert lines == ["out", "err", str(tmp_path)]


def test_silence_is_no_standstill(tmp_path: Path) -> None:
    waits: list[float] = []
    run("sleep 2.5", tmp_path, [], waits)
    assert len(waits) >= 2, "progress has to be told while nothing is written"


def test_an_interrupt_ends_the_child_in_order(tmp_path: Path) -> None:
    script = "trap 'echo cleaned > mark; exit' INT; echo ready; while :; do sleep 0.05; done"

    def interrupt(line: str) -> None:
        assert line == "ready"
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run_reading(
            ["sh", "-c", script],
            folder=tmp_path,
            environment=os.environ,
            on_line=interrupt,
            on_wait=lambda: None,
        )
    assert (tmp_path / "mark").read_text() == "cleaned\n"
    assert threading.active_count() == before


def test_a_child_that_does_not_heed_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_platform.toolchain.process._SECONDS_TO_END", 0.2)
    seen: list[int] = []

    def interrupt(line: str) -> None:
        seen.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_reading(
            ["sh", "-c", "trap '' INT; echo $$; exec sleep 60"],
            folder=tmp_path,
            environment=os.environ,
            on_line=interrupt,
            on_wait=lambda: None,
        )
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], signal.SIG_DFL)
