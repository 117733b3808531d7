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


class Bars(rich.progress.Progress):
    """Bars of tasks, from `start` to `stop`."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            _Facts(),
            console=console,
        )

    def say(self, line: str) -> None:
        """Print one line above them."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def task(self, label: str, total: int, done: int) -> "_BarTask":
        """Begin a bar; see `ft_serving.core.progress.Progress.task`."""
        # rich takes a total of 0 for work of unknown length and would never end the bar.
        return _BarTask(
            self, self.add_task(label, total=total or 1, completed=done if total else 1)
        )


class _Facts(rich.progress.ProgressColumn):
    """Bytes, rate and time left, in the same words as the plain lines."""

    def render(self, task: rich.progress.Task) -> Text:
        return Text(facts(int(task.completed), int(task.total or 0), task.speed or 0.0))


class _BarTask:
    def __init__(self, bars: Bars, number: rich.progress.TaskID) -> None:
        self._bars = bars
        self._number = number

    def advance(self, nbytes: int) -> None:
        self._bars.advance(self._number, nbytes)

    def finish(self) -> None:
        self._bars.stop_task(self._number)
        self._bars.refresh()
