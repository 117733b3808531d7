#!/usr/bin/env python3
"""Becomes a program if the release that it is to serve is what its manifest says, to the last byte.

    check_release.py PROGRAM ARGUMENT...

NVIDIA's backend reads whatever it finds, and serves noise for a file that is short or altered. The
engine for CPUs checks the same by itself; NVIDIA's images have a Python that is older than this
project's packages, so that this file imports nothing of it (Python 3.8, no packages).
"""

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

OPTION = "--model-repository="
MANIFEST = "fastertransformer/1/manifest.json"
"""Written last, by `ft-serving weights prepare` (ft_serving/core/manifest.py)."""

_READ_BYTES = 1 << 20


def main(program: str, *arguments: str) -> None:
    """Start the program, or end with what is wrong."""
    releases = [each[len(OPTION) :] for each in arguments if each.startswith(OPTION)]
    if len(releases) != 1:
        sys.exit(f"error: one {OPTION}RELEASE is needed")
    problems = check(Path(releases[0]))
    if problems:
        listed = "; ".join(problems)
        sys.exit(f"error: {releases[0]} is damaged: {listed}. Prepare it again")
    # The arguments are the image's and the stack's own.
    os.execv(program, [program, *arguments])  # noqa: S606


def check(release: Path) -> "list[str]":
    """Return what differs from the manifest."""
    try:
        files = json.loads((release / MANIFEST).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        return [f"{MANIFEST} cannot be read: {exc}"]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [
            problem for problem in pool.map(lambda file: _problem(release, file), files) if problem
        ]


def _problem(release: Path, file: "dict[str, str]") -> str:
    digest = hashlib.sha256()
    try:
        with (release / file["path"]).open("rb", buffering=0) as opened:
            for piece in iter(lambda: opened.read(_READ_BYTES), b""):
                digest.update(piece)
    except OSError as exc:
        return f"{file['path']} cannot be read: {exc.strerror}"
    found, wanted = digest.hexdigest(), file["sha256"]
    return "" if found == wanted else f"{file['path']} has sha256 {found}, must have {wanted}"


if __name__ == "__main__":
    main(*sys.argv[1:])
