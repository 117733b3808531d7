"""Shows the progress of long work: a bar on a terminal, lines at intervals everywhere else."""

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from ft_serving.core.units import facts, format_bytes, format_duration

if TYPE_CHECKING:
    from ft_serving.core.progress_bars import Bars


class Task(Protocol):
    """One piece of work, counted in bytes; its methods may be called from any thread."""

    def advance(self, nbytes: int) -> None:
        """Count bytes that are done now."""

    def finish(self) -> None:
        """Report the end of the work."""


class Progress:
    """Reports on tasks, and prints single lines between their reports.

    A context manager. A terminal shows bars. Any other stream gets a line when a task starts, at
    intervals, and when it is finished.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        interval_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Report to `stream` (default: stderr), with seconds between two lines of a task."""
        self.interval_s = interval_s
        self.clock = clock
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._bars: Bars | None = None
        if self._stream.isatty():
            # Imported here, because rich takes time that a server's cold start does not have.
            from ft_serving.core.progress_bars import open_bars

            self._bars = open_bars(self._stream)

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def task(self, label: str, total: int, done: int = 0) -> Task:
        """Begin a task of `total` bytes, of which `done` were there before and count no time."""
        if self._bars:
            return self._bars.task(label, total, done)
        return _LineTask(self, label, total, done)

    def say(self, line: str) -> None:
        """Print one line; may be called from any thread."""
        if self._bars:
            self._bars.say(line)
            return
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()


class _LineTask:
    def __init__(self, progress: Progress, label: str, total: int, done: int) -> None:
        self._progress = progress
        self._label = label
        self._total = total
        self._kept = self._done = self._last_done = done
        self._lock = threading.Lock()
        self._started = self._last_time = progress.clock()
        self._say(facts(done, total, 0.0))

    def advance(self, nbytes: int) -> None:
        with self._lock:
            self._done += nbytes
            now = self._progress.clock()
            elapsed = now - self._last_time
            if elapsed < self._progress.interval_s:
                return
            rate = (self._done - self._last_done) / elapsed if elapsed else 0.0
            self._last_time, self._last_done = now, self._done
            line = facts(self._done, self._total, rate)
        self._say(line)

    def finish(self) -> None:
        with self._lock:
            seconds = self._progress.clock() - self._started
            moved = self._done - self._kept
        if not moved:
            self._say(f"nothing to do, {format_bytes(self._kept)} were there")
            return
        rate = f"  {format_bytes(moved / seconds)}/s" if seconds else ""
        kept = f"  {format_bytes(self._kept)} were there" if self._kept else ""
        self._say(f"{format_bytes(moved)} in {format_duration(seconds)}{rate}{kept}")

    def _say(self, words: str) -> None:
        self._progress.say(f"{self._label}  {words}")
