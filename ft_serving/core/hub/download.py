"""Downloads files of a snapshot: in parts, in parallel, resumed after any end, verified by hash.

Threads fetch and write parts. The calling thread hashes each file from its beginning as parts
arrive, so that a file is verified right after its last part has come.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.client import Hub, Snapshot
from ft_serving.core.hub.parts import PartialFile
from ft_serving.core.hub.retry import Backoff
from ft_serving.core.hub.stream import Open, Stream
from ft_serving.core.progress import Progress, Task

# Nothing wakes a thread that waits for the network. It is left behind, and writes nothing more.
_LONGEST_STOP_S = 2.0


class _StoppedError(Exception):
    """The download has ended, and its threads are to end."""


def download(
    hub: Hub,
    snapshot: Snapshot,
    names: Sequence[str],
    folder: Path,
    progress: Progress,
    connections: int = 4,
) -> None:
    """Download files of a snapshot into a folder, each under its name, verified.

    A file gets its name only after its hash was right. One that has its name already is hashed
    again, and replaced if it was altered. After an error, an interrupt or a kill the next call
    goes on where this one ended. Only one call at a time may work in a folder.

    Args:
        hub: The hub that has the content.
        snapshot: The snapshot.
        names: The files' names, of which none ends as those of unfinished files do; their
            sub-folders are created.
        folder: The folder to download into.
        progress: Shows the bytes fetched, the bytes found and verified, and failures overcome.
        connections: Number of parts in flight.

    Raises:
        FtServingError: The hub refused or could not be reached, or it sent a file twice with
            another content than its metadata say.
        OSError: The folder cannot be written or has no room. What was fetched is kept.
    """
    partials = _partials(snapshot, names, folder)
    total = sum(it.file.size for it in partials)
    kept = total - sum(it.missing_bytes for it in partials)
    fetching = progress.task("download", total, kept)
    checking = progress.task("verify", kept) if kept else None
    items = [
        _Item(it, partial(hub.open, snapshot, it.file.name), fetching, frozenset(it.done))
        for it in partials
    ]
    workers = _Workers(items, progress, connections)
    try:
        workers.start()
        for item in items:
            _verify(item, workers, checking, progress, hub.endpoint)
    finally:
        workers.stop()
    for task in filter(None, (fetching, checking)):
        task.finish()


def missing_bytes(snapshot: Snapshot, names: Sequence[str], folder: Path) -> int:
    """Return the bytes that `download` would still fetch, by sizes and journals, not by hashes.

    Raises:
        OSError: The folder cannot be read.
    """
    return sum(it.missing_bytes for it in _partials(snapshot, names, folder))


def _partials(snapshot: Snapshot, names: Sequence[str], folder: Path) -> list[PartialFile]:
    return [PartialFile(folder, snapshot.files[name]) for name in dict.fromkeys(names)]


@dataclass(eq=False, slots=True)
class _Item:
    """A file to download; `kept` are the parts of it that were there before."""

    partial: PartialFile
    ask: Open
    task: Task
    kept: frozenset[int]


def _verify(
    item: _Item, workers: "_Workers", checking: Task | None, progress: Progress, endpoint: str
) -> None:
    """Hash a file as it arrives and give it its name; fetch it anew if the hash is wrong."""
    file = item.partial.file
    wrong_from_hub = 0
    found = _digest(item, workers, checking)
    while found != file.digest:
        item.partial.discard()
        if not item.kept:
            wrong_from_hub += 1
        if wrong_from_hub == 2:
            raise FtServingError(
                f"{file.name}: {endpoint} sent it twice with the hash {found}; its metadata say "
                f"{file.digest}: try again later, or set HF_ENDPOINT to another hub or mirror"
            )
        progress.say(
            f"{file.name}: {'what is here' if item.kept else 'what came'} has the hash {found} "
            f"instead of {file.digest}; fetching all of it again"
        )
        item.kept = frozenset()
        item.task = progress.task(f"download {file.name}", file.size)
        workers.add(item)
        found = _digest(item, workers, checking)
        item.task.finish()
    item.partial.publish()


def _digest(item: _Item, workers: "_Workers", checking: Task | None) -> str:
    hasher = item.partial.file.hasher()
    for index in range(item.partial.count):
        workers.wait_for(item, index)
        with item.partial.content(index) as content:
            hasher.update(content)
        if checking and index in item.kept:
            checking.advance(item.partial.size_of(index))
    return hasher.hexdigest()


class _Workers:
    """Threads that fetch the missing parts of files, in order."""

    def __init__(self, items: Sequence[_Item], progress: Progress, connections: int) -> None:
        self._items = items
        self._progress = progress
        self._pending: deque[tuple[_Item, int]] = deque()
        self._error: BaseException | None = None
        self._stopped = False
        # Guards all of the above; notified of each part, too.
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, name=f"download-{number}", daemon=True)
            for number in range(connections)
        ]

    def start(self) -> None:
        """Begin with all missing parts."""
        for item in self._items:
            if item.partial.target.exists() and not item.partial.complete:
                self._progress.say(f"{item.partial.target}: not of the hub's size; fetching it")
            item.partial.open()
            self._pending.extend((item, index) for index in item.partial.missing)
        for thread in self._threads:
            thread.start()

    def add(self, item: _Item) -> None:
        """Fetch all of one file before anything else."""
        item.partial.open()
        with self._changed:
            self._pending.extendleft((item, index) for index in reversed(item.partial.missing))
            self._changed.notify_all()

    def wait_for(self, item: _Item, index: int) -> None:
        """Return when the part is here.

        Raises:
            BaseException: The error that ended the first thread that failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or index in item.partial.done)
            if self._error:
                raise self._error

    def stop(self) -> None:
        """End all threads, in mid-part too, and close the files."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        deadline = time.monotonic() + _LONGEST_STOP_S
        started = [thread for thread in self._threads if thread.ident]
        for thread in started:
            thread.join(max(0.0, deadline - time.monotonic()))
        # A thread left behind could write into another file that gets a closed one's number.
        if not any(thread.is_alive() for thread in started):
            for item in self._items:
                item.partial.close()

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or self._pending)
                    if self._stopped:
                        return
                    item, index = self._pending.popleft()
                self._fetch(item, index)
        except _StoppedError:
            return
        except BaseException as exc:  # noqa: BLE001 - `wait_for` raises it in the calling thread
            with self._changed:
                self._error = self._error or exc
                self._stopped = True
                self._changed.notify_all()

    def _fetch(self, item: _Item, index: int) -> None:
        backoff = Backoff(item.partial.file.name, self._progress.say, self._pause)
        with Stream(item.ask, backoff) as stream:
            indices = deque([index])
            while indices:
                index = indices.popleft()
                start, stop = item.partial.bounds(index)
                stream.seek(start, stop)
                while stream.position < stop:
                    offset = stream.position
                    data = stream.read()
                    if self._stopped:
                        return
                    item.partial.write(offset, data)
                    item.task.advance(len(data))
                item.partial.mark_done(index)
                with self._changed:
                    self._changed.notify_all()
                if not stream.ranged:
                    # The rest of the file follows over this connection.
                    indices.extend(self._claim(item))

    def _claim(self, item: _Item) -> list[int]:
        """Take all parts of a file that no thread works on."""
        with self._changed:
            claimed = [index for owner, index in self._pending if owner is item]
            self._pending = deque(job for job in self._pending if job[0] is not item)
        return claimed

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._stopped, seconds):
                raise _StoppedError
