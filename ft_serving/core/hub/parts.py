"""A file that is being downloaded: `NAME.part`, and beside it the journal `NAME.part.journal`.

The journal's first line binds it to one content and one size of parts. Every further line is the
index of a part that was written. A process that is killed loses only the parts that it was
writing. The file's hash finds the bytes that a crash of the machine takes.
"""

import errno
import mmap
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ft_serving.core.hub.client import RemoteFile

# A request costs about one round trip, and a killed download loses one part a connection.
PART_BYTES = 16 << 20


class PartialFile:
    """One file of a snapshot in a folder: absent, partial or complete.

    One thread may verify while others write, each its own parts. Methods raise OSError as the
    file system does.

    Attributes:
        file: The file as the hub describes it.
        target: The final path.
        count: Number of parts.
        done: Indices of the parts that are here.
        complete: The final path has a file of the right size; its content may still be wrong.
    """

    def __init__(self, folder: Path, file: RemoteFile) -> None:
        """Read the state on disk, and change nothing."""
        self.file = file
        self.target = folder / file.name
        self.count = -(-file.size // PART_BYTES)
        self._part = self.target.with_name(f"{self.target.name}.part")
        self._journal = self.target.with_name(f"{self.target.name}.part.journal")
        self._identity = f"{file.digest} {file.size} {PART_BYTES}\n".encode()
        self._valid_journal = b""
        self._content = self._log = -1
        # The kernel lets one thread at a time write to a file and makes the others spin.
        self._one_writer = threading.Lock()
        self.complete = _size(self.target) == file.size
        self.done = set(range(self.count)) if self.complete else self._read_journal()

    @property
    def missing(self) -> list[int]:
        """Indices of the parts that are not here, ascending."""
        return [index for index in range(self.count) if index not in self.done]

    @property
    def missing_bytes(self) -> int:
        """Bytes of the parts that are not here."""
        return sum(self.size_of(index) for index in self.missing)

    def bounds(self, index: int) -> tuple[int, int]:
        """Return the part's first offset, and the one behind its last."""
        start = index * PART_BYTES
        return start, min(start + PART_BYTES, self.file.size)

    def size_of(self, index: int) -> int:
        """Return the size of a part in bytes."""
        start, stop = self.bounds(index)
        return stop - start

    def open(self) -> None:
        """Open the content for reading and, unless it is complete, for writing.

        A file of another size under the final name is deleted, because its room may be needed.
        """
        if self.complete:
            self._content = os.open(self.target, os.O_RDONLY)
            return
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.target.unlink(missing_ok=True)
        self._content = os.open(self._part, os.O_RDWR | os.O_CREAT, 0o644)
        os.truncate(self._content, self.file.size)
        self._log = os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        # Cut behind the last whole line, because the next would run into a torn one.
        os.truncate(self._log, len(self._valid_journal))
        if not self._valid_journal:
            _write(self._log, self._identity)

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes of a part that is not done."""
        view = memoryview(data)
        with self._one_writer:
            while view:
                written = os.pwrite(self._content, view, offset)
                offset, view = offset + written, view[written:]

    def mark_done(self, index: int) -> None:
        """Record a part after its last byte was written."""
        _write(self._log, b"%d\n" % index)
        self.done.add(index)

    @contextmanager
    def content(self, index: int) -> Iterator[memoryview]:
        """Yield the content of a part that is done, mapped, because a copy would take long."""
        start, stop = self.bounds(index)
        if os.fstat(self._content).st_size < stop:
            raise OSError(errno.EIO, "was cut short by someone else", str(self.target))
        page = start - start % mmap.ALLOCATIONGRANULARITY
        with (
            mmap.mmap(
                self._content,
                stop - page,
                flags=mmap.MAP_SHARED | mmap.MAP_POPULATE,
                prot=mmap.PROT_READ,
                offset=page,
            ) as mapped,
            memoryview(mapped) as pages,
            pages[start - page :] as view,
        ):
            yield view

    def publish(self) -> None:
        """Give the verified content its final name, and delete the journal.

        Nothing waits for the disk, because the next download hashes the file again and finds what a
        crash of the machine took.
        """
        if not self.complete:
            self._part.replace(self.target)
            self.complete = True
        self._part.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)

    def discard(self) -> None:
        """Close and remove the content, complete or not."""
        self.close()
        for path in (self.target, self._part, self._journal):
            path.unlink(missing_ok=True)
        self.complete, self.done, self._valid_journal = False, set(), b""

    def close(self) -> None:
        """Close what `open` opened; no other thread may be writing."""
        for handle in (self._content, self._log):
            if handle >= 0:
                os.close(handle)
        self._content = self._log = -1

    def _read_journal(self) -> set[int]:
        done: set[int] = set()
        if _size(self._part) != self.file.size or not _size(self._journal):
            return done
        lines = self._journal.read_bytes().splitlines(keepends=True)
        if lines[0] != self._identity:
            return done
        self._valid_journal = self._identity
        for line in lines[1:]:
            if not re.fullmatch(rb"\d{1,9}\n", line):
                break
            done.add(int(line))
            self._valid_journal += line
        return done


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _write(handle: int, line: bytes) -> None:
    if os.write(handle, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
