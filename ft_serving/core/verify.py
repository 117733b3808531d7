"""Compares a release with its manifest."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ft_serving.core.errors import ReleaseError
from ft_serving.core.manifest import (
    MANIFEST_PATH,
    WEIGHTS_PATH,
    Manifest,
    ReleaseFile,
    read_manifest,
)
from ft_serving.core.progress import Progress

# A check of sizes hashes the text files, too, because an edit need not change their size.
_ALWAYS_HASHED = (".ini", ".json", ".pbtxt", ".txt")

_READ_BYTES = 1 << 20
_WORKERS = 2


def check_sizes(release: Path) -> list[str]:
    """Return the damage of a release that names, sizes and the content of text files show.

    Raises:
        ReleaseError: It has no manifest that this program can read.
    """
    manifest = read_manifest(release)
    problems = _size_problems(release, manifest)
    for file in manifest.files:
        if file.path.endswith(_ALWAYS_HASHED) and file.path not in problems:
            problems |= _hash_problem(release, file)
    return _described(problems)


def check_content(release: Path, progress: Progress) -> list[str]:
    """Return the damage of a release that the sha256 of every file shows.

    Raises:
        ReleaseError: It has no manifest that this program can read.
    """
    manifest = read_manifest(release)
    problems = _size_problems(release, manifest)
    files = [file for file in manifest.files if file.path not in problems]
    task = progress.task("verify", sum(file.size for file in files))
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="verify") as pool:
        for problem in pool.map(lambda file: _hash_problem(release, file, task.advance), files):
            problems |= problem
    task.finish()
    return _described(problems)


def refuse_damage(release: Path, problems: list[str]) -> None:
    """Raise an error for the damage that a check found, if any.

    Raises:
        ReleaseError: Names every problem.
    """
    if problems:
        raise ReleaseError("\n  ".join([f"{release} is damaged:", *problems]))


def file_sha256(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """Return the sha256 of a file's content, in hexadecimal.

    Args:
        path: The file.
        advance: Is called with the bytes of each piece.
    """
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_READ_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            advance(count)
    return digest.hexdigest()


def _size_problems(release: Path, manifest: Manifest) -> dict[str, str]:
    problems = {}
    for file in manifest.files:
        try:
            size = (release / file.path).stat().st_size
        except OSError as exc:
            problems[file.path] = f"cannot be read: {exc.strerror}"
            continue
        if size != file.size:
            problems[file.path] = f"has {size} bytes, must have {file.size}"
    # Engines read by name; a stray file means that somebody else writes here.
    known = {file.path for file in manifest.files} | {str(MANIFEST_PATH)}
    try:
        paths = list((release / WEIGHTS_PATH).iterdir())
    except OSError as exc:
        return problems | {str(WEIGHTS_PATH): f"cannot be read: {exc.strerror}"}
    for path in paths:
        relative = path.relative_to(release).as_posix()
        if relative not in known:
            problems[relative] = "is not in the manifest"
    return problems


def _hash_problem(
    release: Path, file: ReleaseFile, advance: Callable[[int], None] = lambda _: None
) -> dict[str, str]:
    try:
        found = file_sha256(release / file.path, advance)
    except OSError as exc:
        return {file.path: f"cannot be read: {exc.strerror}"}
    if found != file.sha256:
        return {file.path: f"has sha256 {found}, must have {file.sha256}"}
    return {}


def _described(problems: dict[str, str]) -> list[str]:
    return [f"{path}: {problem}" for path, problem in sorted(problems.items())]
