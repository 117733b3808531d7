"""The hash of everything that decides a built image, for its tag.

It covers what Pulumi's docker provider compares, too: where the provider sees a change, the tag is
another one, so that no tag is ever pushed twice with different contents.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pulumi

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
        RunError: A file cannot be read, or a line of the ignore file lets in nothing or is not
            understood. Pulumi prints its message without a traceback.
    """
    try:
        files = context_files(context, dockerfile)
        entries = [[str(path), *_fingerprint(context / path)] for path in files]
        recipe = hashlib.sha256(dockerfile.read_bytes()).hexdigest()
    except OSError as exc:
        raise pulumi.RunError(f"The build context of {dockerfile} cannot be read: {exc}") from exc
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


def context_files(context: Path, dockerfile: Path) -> list[PurePosixPath]:
    """Return every file that a build gets, relative to the context, sorted.

    Args:
        context: The build context's folder.
        dockerfile: The Dockerfile, beside which lies its `.dockerignore`.

    Raises:
        RunError: A line of the ignore file lets in nothing, or is of a kind that is not understood.
        OSError: A folder cannot be read.
    """
    allowed, ignored = _rules(dockerfile.with_name(f"{dockerfile.name}.dockerignore"))
    found: set[PurePosixPath] = set()
    for name in allowed:
        # A line that lets in nothing is a misspelt one: the build would miss that file.
        if not (context / name).exists():
            raise pulumi.RunError(f"{dockerfile}.dockerignore lets in {name}: no such file")
        found |= {PurePosixPath(path.relative_to(context)) for path in _below(context / name)}
    return sorted(path for path in found if not ignored.intersection(path.parts))


def _below(path: Path) -> list[Path]:
    if path.is_symlink() or not path.is_dir():
        return [path]
    return [it for it in path.rglob("*") if it.is_symlink() or not it.is_dir()]


def _rules(ignore_file: Path) -> tuple[list[str], set[str]]:
    """Read the paths that an ignore file lets in, and the names that it ignores below them.

    Docker knows more kinds of lines, and lets the last that matches decide. A file that may be read
    otherwise here than there is refused: its tag might stay the same for another image.
    """
    try:
        text = ignore_file.read_text()
    except FileNotFoundError as exc:
        raise pulumi.RunError(
            f"{ignore_file} is missing: without it the whole folder would decide the image's tag"
        ) from exc
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines[:1] != ["**"]:
        raise pulumi.RunError(f"{ignore_file}: its first line must be **, got {lines[:1]}")
    allowed: list[str] = []
    ignored: set[str] = set()
    for line in lines[1:]:
        if (path := re.fullmatch(r"!([\w.-]+(?:/[\w.-]+)*)", line)) and not ignored:
            allowed.append(path[1])
        elif name := re.fullmatch(r"\*\*/([\w.-]+)", line):
            ignored.add(name[1])
        else:
            raise pulumi.RunError(
                f"{ignore_file}: {line!r} is not understood; use !PATH, or **/NAME behind all of "
                "these"
            )
    return allowed, ignored
