"""Writes files that are whole at every moment, and holds locks between processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from local_platform.settings import Report


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file where it is missing or has other content, and rename it to its place when whole.

    A file that is right is not touched: kube-proxy ends when its configuration is written.

    Args:
        path: The file; missing folders are made.
        content: All of it.
        mode: Its permissions, which it has before it has any content.
    """
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}")
    new.touch()
    new.chmod(mode)
    new.write_bytes(content)
    new.rename(path)


@contextmanager
def locked(path: Path, report: Report, waiting: str) -> Iterator[None]:
    """Hold a lock file; where another process holds it, report `waiting` and wait."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
