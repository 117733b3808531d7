"""Progress: the words for bytes and durations, plain lines, and the bar on a terminal."""

import io
import threading
from collections.abc import Iterator

import pytest

from ft_serving.core.progress import Progress
from ft_serving.core.units import format_bytes, format_duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (102_348, "99.9 KiB"),
        (102_400, "100 KiB"),
        (1_048_575, "1.0 MiB"),
        (210 << 20, "210 MiB"),
        (24_159_191_040, "22.5 GiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_bytes_are_given_in_the_unit_that_keeps_them_short(count: int, expected: str) -> None:
    assert format_bytes(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (94, "1 min 34 s"),
        (3599.7, "1 h 00 min"),
    ],
)
def test_durations_are_given_to_two_units_at_most(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


def test_a_log_gets_a_line_at_the_start_at_intervals_and_at_the_end(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, interval_s=10, clock=clock) as progress:
        task = progress.task("download", 2000 << 20)
        for _ in range(4):
            clock.now += 5
            task.advance(500 << 20)
        task.finish()
    assert stream.getvalue().splitlines() == [
        "download  0 B of 2.0 GiB  0%",
        "download  1000 MiB of 2.0 GiB  50%  100 MiB/s  10 s left",
        "download  2.0 GiB of 2.0 GiB  100%  100 MiB/s",
        "download  2.0 GiB in 20 s  100 MiB/s",
    ]


def test_bytes_that_were_there_count_as_done_but_not_as_fast(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, interval_s=10, clock=clock) as progress:
        task = progress.task("download", 1000 << 20, done=500 << 20)
        clock.now += 10
        task.advance(100 << 20)
        clock.now += 10
        task.finish()
    assert stream.getvalue().splitlines() == [
        "download  500 MiB of 1000 MiB  50%",
        "download  600 MiB of 1000 MiB  60%  10.0 MiB/s  40 s left",
        "download  100 MiB in 20 s  5.0 MiB/s  500 MiB were there",
    ]


@pytest.mark.parametrize("stream_type", [io.StringIO, Terminal])
def test_tasks_of_nothing_in_no_time_are_no_error(
    stream_type: type[io.StringIO], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = stream_type()
    with Progress(stream, interval_s=0, clock=clock) as progress:
        empty = progress.task("empty", 0)
        empty.advance(0)
        empty.finish()
        kept = progress.task("kept", 7, done=7)
        kept.finish()
        progress.task("never finished", 7)
    assert "100%" in stream.getvalue()


def test_a_terminal_shows_a_bar_with_bytes_and_keeps_lines_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    with Progress(stream) as progress:
        task = progress.task("download", 2 << 30, done=1 << 30)
        progress.say("model.bin: [red] is no markup")
        task.advance(1 << 30)
        task.finish()
    shown = stream.getvalue()
    assert "━" in shown
    assert "2.0 GiB of 2.0 GiB" in shown
    assert "model.bin: [red] is no markup" in shown, "what a server says is printed as it is"


def test_lines_and_counts_from_many_threads_stay_whole(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, interval_s=1e9, clock=clock) as progress:
        task = progress.task("download", 8000)

        def work() -> None:
            for _ in range(1000):
                task.advance(1)
            progress.say("x" * 500)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.now += 1
        task.finish()
    lines = stream.getvalue().splitlines()
    assert lines[1:-1] == ["x" * 500] * 8
    assert lines[-1] == "download  7.8 KiB in 1.0 s  7.8 KiB/s"


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress(stream) as progress:
        progress.task("download", 10)
    assert stream.getvalue() == "download  0 B of 10 B  0%\n"
