"""Installs the plugins by which Pulumi's engine manages the program's resources.

They lie where Pulumi installs plugins, in the platform's own PULUMI_HOME, under the versions of
their SDKs, so that the engine finds them without a download and without a warning.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from local_platform import environment
from local_platform.files import write_whole
from local_platform.settings import Report
from local_platform.toolchain import (
    KUBERNETES_PLUGIN,
    KUBERNETES_SDK,
    Toolchain,
    build_missing,
)

VERSIONS = {"docker": "5.2.0", "kubernetes": KUBERNETES_SDK}
"""The versions of the SDKs that the program uses."""

_ORIGIN = "origin"
"""A file in the folder of a plugin that this module made: the plugin's description."""

_DOWNLOAD_SECONDS = 300


def install(toolchain: Toolchain, report: Report) -> None:
    """Install the plugins.

    One that Pulumi can download, or that somebody has installed there, is used as it is. Otherwise
    the kubernetes plugin is built from its source, and a stand-in takes docker's place (ADR 4). A
    download that failed is not tried again; `pulumi plugin install --reinstall` by hand is noticed.

    Raises:
        PlatformError: see `build_missing`.
    """
    # The engine starts plugins in the program's folder, where no checkout is on the path.
    stand_in = f"{shlex.quote(sys.executable)} -P -m local_platform.docker_plugin"
    root = shlex.quote(str(Path(__file__).parents[1]))
    for provider, version in VERSIONS.items():
        folder = _folder(provider, version)
        vendors = folder.is_dir() and not (folder / _ORIGIN).exists()
        if vendors or _download(toolchain.tool("pulumi"), provider, version):
            continue
        if provider == "kubernetes":
            built = build_missing((KUBERNETES_PLUGIN,), report).tool("pulumi-resource-kubernetes")
            _place(folder, provider, f"exec {shlex.quote(str(built))}", "built from its source")
        else:
            _place(folder, provider, f"PYTHONPATH={root} exec {stand_in}", "stand-in")
    report(f"provider plugins: {describe()}")


def describe() -> str:
    """Return the plugins in use, in one line."""
    return ", ".join(
        f"{provider} {version} ({_origin(_folder(provider, version))})"
        for provider, version in VERSIONS.items()
    )


def _origin(folder: Path) -> str:
    if not folder.is_dir():
        return "not installed"
    note = folder / _ORIGIN
    return note.read_text() if note.exists() else "the vendor's"


def _folder(provider: str, version: str) -> Path:
    return environment.PULUMI_HOME / "plugins" / f"resource-{provider}-v{version}"


def _download(pulumi: Path, provider: str, version: str) -> bool:
    """Let Pulumi download a plugin, unless that failed before; return whether it did."""
    failure = environment.PULUMI_HOME / f"no-{provider}-{version}"
    if failure.exists():
        return False
    environment.PULUMI_HOME.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            [pulumi, "plugin", "install", "resource", provider, version],
            env=os.environ | {"PULUMI_HOME": str(environment.PULUMI_HOME)},
            capture_output=True,
            check=True,
            timeout=_DOWNLOAD_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        failure.touch()
        return False
    return True


def _place(folder: Path, provider: str, command: str, origin: str) -> None:
    """Make a plugin's folder with a script that runs a command, unless it is there."""
    script, wanted = folder / f"pulumi-resource-{provider}", f'#!/bin/sh\n{command} "$@"\n'
    if script.is_file() and not script.is_symlink() and script.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _ORIGIN).write_text(f"{origin}, see ADR 4")
    write_whole(script, wanted.encode(), mode=0o755)
