"""Draws progress as bars on a terminal, with rich."""

from typing import TextIO

import rich.progress
from rich.console import Console
from rich.text import Text

from ft_serving.core.units import facts


def open_bars(terminal: TextIO) -> "Bars | None":
    """Return bars on a terminal; None if it cannot draw any."""
    console = Console(file=terminal)
    if console.is_dumb_terminal or not console.is_terminal:
        return None
    return Bars(console)


class Bars:
    """Bars of tasks; nothing is drawn before `start`."""

    def __init__(self, console: Console) -> None:
        self._bars = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            _Facts(),
            console=console,
        )

    def start(self) -> None:
        """Draw them, and draw them again as they grow."""
        self._bars.start()

    def stop(self) -> None:
        """Draw them for the last time."""
        self._bars.stop()

    def say(self, line: str) -> None:
        """Print one line above them."""
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def task(self, label: str, total: int, done: int) -> "_BarTask":
        """Begin a bar; see `ft_serving.core.progress.Progress.task`."""
        return _BarTask(self._bars, label, total, done)


class _Facts(rich.progress.ProgressColumn):
    """Bytes, rate and time left, in the same words as the plain lines."""

    def render(self, task: rich.progress.Task) -> Text:
        return Text(facts(int(task.completed), int(task.total or 0), task.speed or 0.0))


class _BarTask:
    def __init__(self, bars: rich.progress.Progress, label: str, total: int, done: int) -> None:
        self._bars = bars
        # rich takes a total of 0 for work of unknown length and would never end the bar.
        self._id = bars.add_task(label, total=total or 1, completed=done if total else 1)

    def advance(self, nbytes: int) -> None:
        self._bars.advance(self._id, nbytes)

    def finish(self) -> None:
        self._bars.stop_task(self._id)
        self._bars.refresh()
