"""Prometheus's own checker of rules: what it refuses, Prometheus refuses."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ft-serving" / "promtool"


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
    unpacked = _CACHE / "usr" / "bin" / "promtool"
    if not unpacked.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        for command in (
            ("apt-get", "download", "prometheus"),
            ("sh", "-c", "dpkg --extract prometheus_*.deb . && rm prometheus_*.deb"),
        ):
            done = subprocess.run(command, cwd=_CACHE, capture_output=True, text=True)
            if done.returncode:
                pytest.fail(f"install promtool (Debian's package prometheus): {done.stderr}")
    return str(unpacked)
