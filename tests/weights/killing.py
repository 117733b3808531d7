"""Kills `prepare` at each of its changes of a volume, one after the other, and checks what is left.

Run: python -m tests.weights.killing VOLUME FORMAT SOURCE [STEP], where SOURCE is a folder or a hub.
A process of its own, because it forks: every run but the first finds all modules imported.
"""

import io
import os
import shutil
import signal
import sys
import traceback
from itertools import count
from pathlib import Path
from typing import Any

from ft_serving.core.hub.client import Hub
from ft_serving.core.manifest import MANIFEST_PATH
from ft_serving.core.progress import Progress, Task
from ft_serving.core.release import ReleaseFormat
from ft_serving.core.storage import Storage
from ft_serving.core.verify import check_content, check_sizes
from ft_serving.weights import convert, shards
from ft_serving.weights.source import HubSource, LocalSource, Source
from tests.weights.world import prepare_source

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.link", "os.utime"}


class Countdown(Progress):
    """Counts what a process writes, flushes, renames and deletes; kills it at a number."""

    def __init__(self, last: int) -> None:
        super().__init__(io.StringIO())
        self._last = last
        self._numbers = count(1)
        fsync = os.fsync

        def flush(fd: Any) -> None:
            self.step()
            fsync(fd)

        os.fsync = flush
        sys.addaudithook(self._hear)

    def step(self) -> None:
        """Count a change that comes next, or a part of a file that was written just now."""
        if next(self._numbers) == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def task(self, _label: str, _total: int, _done: int = 0) -> Task:
        return Steps(self)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        is_write = event == "open" and int(str(arguments[2] or 0)) & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or is_write:
            self.step()


class Steps:
    """A task: a step for each piece that was written."""

    def __init__(self, countdown: Countdown) -> None:
        self._countdown = countdown

    def advance(self, _nbytes: int) -> None:
        self._countdown.step()

    def finish(self) -> None:
        pass


def main() -> None:
    volume, format_, place = Path(sys.argv[1]), ReleaseFormat(sys.argv[2]), sys.argv[3]
    step = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    # One worker, so that the order of changes is the same in each run.
    convert.WORKERS = 1
    shards.SHARD_BYTES = 50_000
    storage = Storage(volume)
    ranks = 2 if format_.is_divided else 1

    def prepare(progress: Progress) -> Path:
        source: Source
        storage.create()
        if Path(place).is_dir():
            source = LocalSource(Path(place), (), progress)
        else:
            source = HubSource(Hub(place, None), "tiny", "main", storage, progress)
        return prepare_source(
            source, storage, progress, format=format_, tensor_parallel=ranks
        ).folder

    def is_killed(last: int) -> bool:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                prepare(Countdown(last))
                status = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        assert status in (0, signal.SIGKILL), f"run {last} failed"
        return status != 0

    silent = Progress(io.StringIO())
    prepare(silent)
    kills, unfinished, kept = 0, 0, 0
    for last in count(1, step):
        shutil.rmtree(volume)
        if not is_killed(last):
            break
        kills += 1
        for name in storage.release_names():
            assert (storage.release(name) / MANIFEST_PATH).exists(), "a release appears whole"
            assert check_sizes(storage.release(name)) == []
        unfinished += bool(storage.leftovers())
        finished = {
            path.stat().st_ino for path in volume.glob("triton-model-store/.*/*/1/*.safetensors")
        }
        folder = prepare(silent)
        assert check_content(folder, silent) == []
        assert [it.name for it in storage.releases.iterdir()] == [folder.name], "no leftovers"
        made = {path.stat().st_ino for path in folder.glob("*/1/*.safetensors")}
        assert finished <= made, "a shard that was finished is not written again"
        kept += bool(finished)
    print(kills, unfinished, kept)


if __name__ == "__main__":
    main()
