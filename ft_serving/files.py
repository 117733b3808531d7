"""Files, as every part that must not lose one needs them."""

import os
from pathlib import Path

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that Git LFS has left in the place of a large one."""


def flush(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk.

    Raises:
        OSError: The disk refused.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
