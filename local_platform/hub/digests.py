"""Digests of files, computed once for every version of a file on disk."""

import hashlib
import os
import threading
import time
from dataclasses import dataclass, field
from io import FileIO

from local_platform.errors import FileChangedError

# A write within one tick of the file system's clock leaves the times unchanged. A digest is
# remembered only for a file that was last changed this long before it was read; two seconds is
# the coarsest clock in use (FAT), and what git allows for in its own index.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FileVersion:
    """What tells one version of a file on disk from another without reading it.

    The change time is part of it because a copy that keeps modification times (`cp -p`,
    `rsync -t`) can replace bytes and leave size, modification time and inode as they were.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileVersion":
        """Take the version from a stat result."""
        return cls(
            device=status.st_dev,
            inode=status.st_ino,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """What the hub tells of a file's content.

    Attributes:
        sha256: SHA-256 of the content, in hex.
        blob_id: id of the git blob that the hub would keep, in hex: SHA-1 over `blob`, space, size,
            NUL and the content, which for a file in Git LFS is that of its pointer.
        pointer_size: size in bytes of the Git LFS pointer; None for a file that git itself keeps.
    """

    sha256: str
    blob_id: str
    pointer_size: int | None


@dataclass(slots=True)
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: FileVersion | None = None
    digests: Digests | None = None


class DigestCache:
    """Digests by place and version; safe to share between threads.

    Threads that ask for the same file wait for one computation; other files are not held up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[tuple[str, bool], _Slot] = {}

    def digests(self, location: str, version: FileVersion, *, lfs: bool) -> Digests:
        """Digest the file at a place, or recall its digests.

        Args:
            location: path of the file, free of symbolic links.
            version: the version seen there.
            lfs: whether the hub would keep this file in Git LFS.

        Raises:
            FileChangedError: the file is another version, or became one while it was read.
            OSError: the file cannot be read.
        """
        with self._lock:
            slot = self._slots.setdefault((location, lfs), _Slot())
        with slot.lock:
            if slot.digests is not None and slot.version == version:
                return slot.digests
            settled = time.time_ns() - version.ctime_ns > _SETTLED_NS
            digests = _compute(location, version, lfs=lfs)
            if settled:
                slot.version, slot.digests = version, digests
            return digests


def open_version(location: str, version: FileVersion) -> FileIO:
    """Open a file if it still is the given version.

    Raises:
        FileChangedError: it is gone or another version.
        OSError: it cannot be opened for another reason.
    """
    try:
        stream = FileIO(location)
    except FileNotFoundError as exc:
        raise FileChangedError(f"{location}: is gone") from exc
    try:
        _check_version(stream, location, version)
    except BaseException:
        stream.close()
        raise
    return stream


def _check_version(stream: FileIO, location: str, version: FileVersion) -> None:
    if FileVersion.of(os.fstat(stream.fileno())) != version:
        raise FileChangedError(f"{location}: was changed")


def _compute(location: str, version: FileVersion, *, lfs: bool) -> Digests:
    with open_version(location, version) as stream:
        if lfs:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            content = _lfs_pointer(sha256, version.size)
        else:
            content = stream.read()
            sha256 = hashlib.sha256(content).hexdigest()
        _check_version(stream, location, version)
    return Digests(
        sha256=sha256,
        blob_id=_git_blob_id(content),
        pointer_size=len(content) if lfs else None,
    )


def _git_blob_id(content: bytes) -> str:
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _lfs_pointer(sha256: str, size: int) -> bytes:
    """The pointer file, as git-lfs's docs/spec.md lays it down."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    ).encode("ascii")
