"""Which provider plugins programs run with: the real ones where they can be had."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from local_platform.errors import PlatformError
from local_platform.plugins import launchers

VERSIONS = {"docker": "5.2.0", "kubernetes": "4.34.2"}
"""The providers that programs use, by the versions of their SDKs."""

_DOWNLOAD_SECONDS = 300


def install(folder: Path, report: Callable[[str], None]) -> None:
    """Has the real plugins where they are installed or can be, and the stand-ins for the others.

    A download that failed is not tried again; `pulumi plugin install resource NAME VERSION` by hand
    is noticed, and so is a removal of the folder.

    Args:
        folder: Where the stand-ins' executables go; has to be on PATH when programs run.
        report: Is told what is used, in one line.

    Raises:
        PlatformError: Pulumi's command-line tool is missing, or does not work.
    """
    # Here, because every start of a stand-in imports this module, and not what builds tools.
    from local_platform.toolchain import find

    pulumi = find().tool("pulumi")
    for provider, version in VERSIONS.items():
        if _installed(pulumi, provider, version) or _download(folder, pulumi, provider, version):
            launchers.remove(folder, provider)
        else:
            launchers.install(folder, provider, Path(sys.executable))
    report(f"provider plugins: {describe(folder)}")


def describe(folder: Path) -> str:
    """What programs run with, in one line."""
    return ", ".join(
        f"{provider} {version} "
        + (
            "(stand-in, see ADR 4)"
            if launchers.path(folder, provider).exists()
            else "(the real one)"
        )
        for provider, version in VERSIONS.items()
    )


def _installed(pulumi: Path, provider: str, version: str) -> bool:
    listed = _run(pulumi, "plugin", "ls", "--json")
    if listed.returncode != 0:
        raise PlatformError(f"{pulumi} plugin ls: {listed.stderr.strip()}")
    return any(
        (plugin["name"], plugin["kind"], plugin.get("version")) == (provider, "resource", version)
        for plugin in json.loads(listed.stdout)
    )


def _download(folder: Path, pulumi: Path, provider: str, version: str) -> bool:
    failure = folder / f".no-pulumi-resource-{provider}-{version}"
    if failure.exists():
        return False
    try:
        done = _run(pulumi, "plugin", "install", "resource", provider, version)
    except subprocess.TimeoutExpired:
        done = None
    if done is not None and done.returncode == 0:
        return True
    folder.mkdir(parents=True, exist_ok=True)
    failure.touch()
    return False


def _run(pulumi: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [pulumi, *arguments], capture_output=True, text=True, check=False, timeout=_DOWNLOAD_SECONDS
    )
