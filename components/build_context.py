"""The hash of everything that decides a built image, for its tag.

It covers what Pulumi's docker provider compares, too: where the provider sees a change, the tag is
another one, so that no tag is ever pushed twice with different contents.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from components.errors import BuildContextError

_TAG_LENGTH = 16
"""Hexadecimal digits: 64 bits are beyond accident, and a tag stays readable."""


def content_tag(
    context: Path, dockerfile: Path, build_args: Mapping[str, str], platform: str
) -> str:
    """Return the tag of the image that a build gives.

    Args:
        context: The build context's folder.
        dockerfile: The Dockerfile, beside which lies its `.dockerignore`.
        build_args: The build's arguments.
        platform: What it is built for, such as "linux/amd64".

    Raises:
        BuildContextError: A file cannot be read, or a line of the ignore file is of a kind that
            is not understood here.
    """
    try:
        entries = [
            [str(path), *_fingerprint(context / path)] for path in _files(context, dockerfile)
        ]
        recipe = hashlib.sha256(dockerfile.read_bytes()).hexdigest()
    except OSError as exc:
        raise BuildContextError(f"The build context of {dockerfile} cannot be read: {exc}") from exc
    decided_by = {
        "args": dict(build_args),
        "dockerfile": recipe,
        "files": entries,
        "platform": platform,
    }
    text = json.dumps(decided_by, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_TAG_LENGTH]


def _fingerprint(path: Path) -> tuple[str, str]:
    mode = path.lstat().st_mode
    content = os.fsencode(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes()
    return f"{mode:o}", hashlib.sha256(content).hexdigest()


def _files(context: Path, dockerfile: Path) -> list[PurePosixPath]:
    """Every file that the ignore file lets in, relative to the context, sorted."""
    lines = _lines(dockerfile.with_name(f"{dockerfile.name}.dockerignore"))
    found: set[Path] = set()
    for line in lines:
        if line.startswith("!"):
            allowed = context / line[1:]
            # A line that lets in nothing is a misspelt one: the build would miss that file.
            if not allowed.exists():
                raise BuildContextError(
                    f"{dockerfile}.dockerignore lets in {line[1:]}: no such file"
                )
            found |= set(_below(allowed))
    relative = (PurePosixPath(path.relative_to(context)) for path in found)
    return sorted(path for path in relative if _is_let_in(lines, path))


def _below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for folder, folders, files in os.walk(path):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in (*files, *links))


def _lines(ignore_file: Path) -> list[str]:
    """The ignore file's lines, which are of four kinds alone (docs/images.md).

    Docker knows more kinds of patterns. One that is read otherwise here than there would make a
    tag that does not change with its image.
    """
    try:
        text = ignore_file.read_text()
    except FileNotFoundError as exc:
        raise BuildContextError(
            f"{ignore_file} is missing: without it the whole folder would decide the image's tag"
        ) from exc
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines[:1] != ["**"]:
        raise BuildContextError(f"{ignore_file}: its first line must be **, got {lines[:1]}")
    for line in lines[1:]:
        pattern = line.removeprefix("!").removeprefix("**/")
        if line.startswith("!**/") or pattern != pattern.strip() or set(pattern) & set("*?[\\"):
            raise BuildContextError(
                f"{ignore_file}: {line!r} is not understood; use a path, a path behind !, "
                "or **/NAME"
            )
    return lines


def _is_let_in(lines: list[str], path: PurePosixPath) -> bool:
    # Docker's rule: the last line that matches decides, and a folder's line matches what is in it.
    matching = [line for line in lines if _matches(line.removeprefix("!"), path)]
    return matching[-1].startswith("!")


def _matches(pattern: str, path: PurePosixPath) -> bool:
    if pattern == "**":
        return True
    if pattern.startswith("**/"):
        return pattern.removeprefix("**/") in path.parts
    return path.is_relative_to(pattern)
