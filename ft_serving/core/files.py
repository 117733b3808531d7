"""Resolves paths, and flushes files to disk."""

import os
from pathlib import Path

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""The beginning of a file that Git LFS has left in the place of a large one."""


def absolute(path: Path) -> Path:
    """Return a path from the root and without `..`.

    Links stay as they are written, but for those that `..` leads out of: a path that is stored for
    other machines is the one that its user chose.
    """
    result = Path()
    for part in path.absolute().parts:
        result = Path(os.path.realpath(result)).parent if part == ".." else result / part
    return result


def same_place(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file or folder; not if either is missing."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def flush(path: Path) -> None:
    """Flush a file's content, or the names in a folder, to the disk.

    Raises:
        OSError: The disk refused.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
