"""The digest of what an image is built from: it changes when a build could give another image."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from local_platform.plugins.docker import ignore
from local_platform.plugins.docker.errors import ContextError


def digest(context: Path, dockerfile: Path) -> str:
    """SHA-256, in hex, of the Dockerfile and of every file that the ignore file lets in.

    A file counts with its path in the context, its mode and its content, a symbolic link with its
    target. Times, owners and folders do not count, as with the real plugin.

    Raises:
        ContextError: A file cannot be read, or the ignore file is malformed.
    """
    total = hashlib.sha256()
    try:
        # BuildKit follows a link that leads to the Dockerfile.
        total.update(hashlib.sha256(dockerfile.read_bytes()).digest())
        for path in files(context, ignore.read(context, dockerfile)):
            mode = path.lstat().st_mode
            # Zero bytes end the parts of variable length: no name or mode contains one.
            total.update(os.fsencode(path.relative_to(context)) + b"\0%o\0" % mode)
            total.update(_content(path))
    except OSError as exc:
        raise ContextError(f"the build context {context} cannot be read: {exc}") from exc
    return total.hexdigest()


def _content(path: Path) -> bytes:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return hashlib.sha256(os.fsencode(path.readlink())).digest()
    if not stat.S_ISREG(mode):
        # A socket or a pipe has no content that could be read.
        return hashlib.sha256().digest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def files(context: Path, patterns: Sequence[ignore.Pattern]) -> Iterator[Path]:
    """What is not a folder and is let in, sorted, so that the order on the disk does not count.

    A folder that is left out, and in which no pattern can let anything in again, is not read.

    Raises:
        OSError: A folder cannot be read.
    """
    yield from _below(context, (), patterns, [False] * len(patterns))


def _below(
    folder: Path,
    parts: tuple[str, ...],
    patterns: Sequence[ignore.Pattern],
    matched: Sequence[bool],
) -> Iterator[Path]:
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        below = (*parts, entry.name)
        path = "/".join(below)
        # What matches a folder matches all that is in it; the last line that matches decides.
        now = [
            before or pattern.regex.fullmatch(path) is not None
            for before, pattern in zip(matched, patterns, strict=True)
        ]
        last = max((i for i, match in enumerate(now) if match), default=None)
        let_in = last is None or patterns[last].exception
        if not entry.is_dir(follow_symlinks=False):
            if let_in:
                yield folder / entry.name
        elif let_in or any(
            pattern.exception and pattern.may_match_below(below)
            for pattern in patterns[last + 1 if last is not None else 0 :]
        ):
            yield from _below(folder / entry.name, below, patterns, now)
