"""How far Go is, read from the lines that it writes."""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta

_SECONDS_BETWEEN_LINES = 15


class GoProgress:
    """Reports at intervals on what `go list`, `go install -v` and `go mod download` do.

    Args:
        label: What each line begins with.
        report: Takes a line.
    """

    def __init__(
        self,
        label: str,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self._report = report
        self._clock = clock
        self._started = self._last = clock()
        self._downloads = 0
        self._expected: set[str] | None = None
        self._compiled: set[str] = set()
        self._compiling_since = self._started

    def expect(self, listed: Iterable[str]) -> None:
        """Take the packages that `go install` is going to compile, among other lines of Go's."""
        self._expected = {line for line in listed if line and " " not in line}
        self._compiling_since = self._clock()

    def read(self, line: str) -> None:
        """Count a line of Go's: a download, or a package that is being compiled."""
        if line.startswith("go: downloading "):
            self._downloads += 1
        elif self._expected and line in self._expected:
            self._compiled.add(line)

    def tick(self) -> None:
        """Report, if the last time is long enough ago."""
        now = self._clock()
        if now - self._last < _SECONDS_BETWEEN_LINES:
            return
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
