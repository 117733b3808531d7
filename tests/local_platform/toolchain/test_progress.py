"""What is said while Go works."""

from local_platform.toolchain.progress import GoProgress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_downloads_are_counted_until_the_packages_are_known(said: list[str]) -> None:
    clock = Clock()
    progress = GoProgress("tiny", said.append, clock)
    for line in ("go: downloading a.test v1.0.0", "go: downloading b.test v1.0.0", "a.test/x"):
        progress.read(line)
    clock.now += 20
    progress.tick()
    assert said == ["tiny: downloading, 2 modules; 0:00:20 so far"]


def test_compiled_packages_give_percent_and_time_left(said: list[str]) -> None:
    clock = Clock()
    progress = GoProgress("tiny", said.append, clock)
    clock.now += 10
    progress.expect(["go: downloading a.test v1.0.0", "", "a/1", "a/2", "a/3", "a/4"])
    progress.read("a/1")
    progress.read("a/1")
    progress.read("# a/2")
    progress.read("b/1")
    clock.now += 20
    progress.tick()
    assert said == ["tiny: compiling, 1 of 4 packages, 25%, about 0:01:00 left; 0:00:30 so far"]
    for name in ("a/2", "a/3", "a/4"):
        progress.read(name)
    clock.now += 20
    progress.tick()
    assert said[1] == "tiny: linking; 0:00:50 so far"


def test_lines_come_at_intervals(said: list[str]) -> None:
    clock = Clock()
    progress = GoProgress("tiny", said.append, clock)
    for _ in range(60):
        clock.now += 1
        progress.tick()
    assert [line.rsplit("; ")[1] for line in said] == [
        "0:00:15 so far",
        "0:00:30 so far",
        "0:00:45 so far",
        "0:01:00 so far",
    ]
