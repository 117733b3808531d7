"""Prometheus's own checker of rules: what it refuses, Prometheus refuses."""

import functools
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ft-serving"
_DOWNLOAD = ("apt-get", "download", "prometheus")


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a folder."""
    return subprocess.run(
        [_program(), *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )


@functools.cache
def _program() -> str:
    """The one on the PATH, else that of Debian's package, which is unpacked and not installed."""
    found = shutil.which("promtool")
    if found:
        return found
    unpacked = _CACHE / "promtool"
    if not unpacked.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            _unpack(Path(folder))
            # Whole at once, since other tests may do the same beside this one.
            (Path(folder) / "usr" / "bin" / "promtool").rename(unpacked)
    return str(unpacked)


def _unpack(folder: Path) -> None:
    with suppress(subprocess.CalledProcessError):
        _run(folder, *_DOWNLOAD)
    try:
        if not list(folder.glob("*.deb")):
            # apt's index is old or not there.
            _run(folder, "apt-get", "update")
            _run(folder, *_DOWNLOAD)
        (package,) = folder.glob("*.deb")
        _run(folder, "dpkg", "--extract", str(package), str(folder))
    except (OSError, subprocess.CalledProcessError) as exc:
        said = getattr(exc, "stderr", "")
        pytest.fail(f"install promtool (Debian's package prometheus): {exc}\n{said}")


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
