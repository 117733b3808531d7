"""Runs Go, and reports how far it is from the lines that it writes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from local_platform.settings import Report

_SECONDS_BETWEEN_LINES = 15
_SECONDS_TO_END = 10


class GoProgress:
    """Reports every 15 seconds what `go list`, `go install -v` and `go mod download` do."""

    def __init__(self, label: str, report: Report) -> None:
        self.label = label
        self._report = report
        self._started = self._last = self._compiling_since = time.monotonic()
        self._downloads = 0
        self._expected: set[str] | None = None
        self._compiled: set[str] = set()

    def expect(self, listed: Iterable[str]) -> None:
        """Take the output of `go list`: the packages that `go install` is going to compile."""
        self._expected = {line for line in listed if line and " " not in line}
        self._compiling_since = time.monotonic()

    def read(self, line: str) -> None:
        """Count a download or a compiled package, and report if the last time is long ago."""
        if line.startswith("go: downloading "):
            self._downloads += 1
        elif self._expected and line in self._expected:
            self._compiled.add(line)
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            elapsed = timedelta(seconds=round(now - self._started))
            self._report(f"{self.label}: {self._state(now)}; {elapsed} so far")

    def _state(self, now: float) -> str:
        if self._expected is None:
            return f"downloading, {self._downloads} modules"
        done, total = len(self._compiled), len(self._expected)
        if done == total:
            return "linking"
        state = f"compiling, {done} of {total} packages, {100 * done // total}%"
        if done:
            left = (now - self._compiling_since) / done * (total - done)
            state += f", about {timedelta(seconds=round(left))} left"
        return state


def run_reading(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
) -> int:
    """Run a command in a folder, pass on each line that it writes, and return its exit status.

    When an exception ends the wait, the child's process group is ended, too.
    """
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", process_group=0,
    ) as child:  # fmt: skip
        try:
            for line in child.stdout or ():
                on_line(line.rstrip("\n"))
            return child.wait()
        except BaseException:
            # Compilers end at once, and Go then deletes its temporary files.
            os.killpg(child.pid, signal.SIGINT)
            try:
                child.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
            raise
