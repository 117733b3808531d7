"""Installs the plugins by which Pulumi's engine manages the program's resources.

They lie where Pulumi installs plugins, in the platform's own PULUMI_HOME, under the versions of
their SDKs, so that the engine finds them without a download and without a warning.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from local_platform import environment
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

Report = Callable[[str], None]


def install(toolchain: Toolchain, report: Report) -> None:
    """Install the plugins.

    The user's own plugin, or one that Pulumi can download, is used as it is. Otherwise the
    kubernetes plugin is built from its source, and a stand-in takes docker's place (ADR 4). A
    download that failed is not tried again; `pulumi plugin install --reinstall` by hand is noticed.

    Args:
        toolchain: The tools, Pulumi among them.
        report: Takes a line about each plugin that is built, and the plugins in use.

    Raises:
        PlatformError: see `build_missing`.
    """
    for provider, version in VERSIONS.items():
        folder = _folder(environment.PULUMI_HOME, provider, version)
        own = _folder(_users_home(), provider, version)
        if own != folder and own.is_dir():
            _remove(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(own)
        elif _is_real(folder) or _download(toolchain.tool("pulumi"), provider, version):
            continue
        elif provider == "kubernetes":
            built = build_missing((KUBERNETES_PLUGIN,), report)
            _place_built(folder, built.tool("pulumi-resource-kubernetes"))
        else:
            _place_stand_in(folder)
    report(f"provider plugins: {describe()}")


def describe() -> str:
    """Return the plugins in use, in one line."""
    return ", ".join(
        f"{provider} {version} ({_origin(provider, version)})"
        for provider, version in VERSIONS.items()
    )


def _origin(provider: str, version: str) -> str:
    folder = _folder(environment.PULUMI_HOME, provider, version)
    if not folder.is_dir():
        return "not installed"
    note = folder / _ORIGIN
    return note.read_text() if note.exists() else "the vendor's"


def _folder(home: Path, provider: str, version: str) -> Path:
    return home / "plugins" / f"resource-{provider}-v{version}"


def _users_home() -> Path:
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def _is_real(folder: Path) -> bool:
    return folder.is_dir() and not (folder / _ORIGIN).exists()


def _download(pulumi: Path, provider: str, version: str) -> bool:
    """Let Pulumi download a plugin; return whether it is there."""
    failure = environment.PULUMI_HOME / f"no-{provider}-{version}"
    if failure.exists():
        return False
    environment.PULUMI_HOME.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [pulumi, "plugin", "install", "resource", provider, version],
            env=os.environ | {"PULUMI_HOME": str(environment.PULUMI_HOME)},
            capture_output=True,
            check=False,
            timeout=_DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is not None and done.returncode == 0:
        return True
    failure.touch()
    return False


def _place_built(folder: Path, program: Path) -> None:
    program_link = folder / "pulumi-resource-kubernetes"
    if program_link.is_symlink() and program_link.readlink() == program:
        return
    _new(folder, "built from its source, see ADR 4")
    program_link.symlink_to(program)


def _place_stand_in(folder: Path) -> None:
    # The engine starts plugins in the program's folder, where no checkout is on the path.
    root = Path(__file__).parents[1]
    wanted = (
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(root))} "
        f'exec {shlex.quote(sys.executable)} -P -m local_platform.docker_plugin "$@"\n'
    )
    script = folder / "pulumi-resource-docker"
    if script.exists() and script.read_text() == wanted:
        return
    _new(folder, "stand-in, see ADR 4")
    script.write_text(wanted)
    script.chmod(0o755)


def _new(folder: Path, origin: str) -> None:
    _remove(folder)
    folder.mkdir(parents=True)
    (folder / _ORIGIN).write_text(origin)


def _remove(folder: Path) -> None:
    """Delete a plugin's folder, or the link to one of the user's own."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)
