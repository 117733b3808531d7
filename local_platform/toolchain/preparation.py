"""Brings the tools of the platform to a machine, and builds those that it lacks."""

import os
import secrets
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

from local_platform.files import locked
from local_platform.settings import Report
from local_platform.toolchain import debian, pins
from local_platform.toolchain.build import Builder
from local_platform.toolchain.go import find_go
from local_platform.toolchain.groups import GROUPS, Group
from local_platform.toolchain.store import Toolchain, find, missing, root

_DISCARDED = "discarded-"
"""The beginning of the name of a folder that is being deleted."""


def prepare(report: Report) -> Toolchain:
    """Install the Debian packages and build the tools that the machine lacks.

    A run that was ended goes on from where it was; one that runs beside another waits for it. What
    Go downloaded and compiled stays until `discard_scratch`.

    Raises:
        PlatformError: What went wrong, and what to do.
    """
    debian.install_packages(report)
    return build_missing(GROUPS, report)


def build_missing(groups: Sequence[Group], report: Report) -> Toolchain:
    """Build those groups that are not in the cache.

    Raises:
        PlatformError: What went wrong, and what to do.
    """
    if missing(groups):
        root().mkdir(parents=True, exist_ok=True)
        with _locked(report):
            # Another process may have built them meanwhile.
            if lacking := missing(groups):
                _build(lacking, report)
    return find(groups)


def _build(groups: Sequence[Group], report: Report) -> None:
    scratch = root() / "scratch"
    go = find_go(max(map(pins.least_go, groups)), scratch / "go", report)
    builder = Builder(go=go, scratch=scratch, report=report)
    cores = os.cpu_count() or 1
    # Their costs were measured on two cores.
    estimate = timedelta(seconds=round(sum(group.cost_s for group in groups) * 2 / cores))
    report(
        f"building {', '.join(group.name for group in groups)} into {root()}: "
        f"about {estimate} with {cores} cores, and the downloads"
    )
    for number, group in enumerate(groups, 1):
        builder.build(group, f"{group.name} ({number} of {len(groups)})")


def discard_scratch(report: Report) -> None:
    """Delete in the background what Go downloaded and compiled, once all groups are built.

    A process of its own deletes it, because it is a hundred thousand files, and some disks need
    minutes for them. If that process is ended, the next call starts another.
    """
    scratch = root() / "scratch"
    if scratch.exists():
        with _locked(report):
            scratch.rename(root() / f"{_DISCARDED}{secrets.token_hex(4)}")
        report("deleting in the background what the built tools no longer need")
    if discarded := list(root().glob(f"{_DISCARDED}*")):
        subprocess.run(
            ["sh", "-c", 'setsid nice -n 19 rm -rf -- "$@" &', "sh", *discarded],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )


def _locked(report: Report) -> AbstractContextManager[None]:
    waiting = "another process builds the platform's tools: waiting for it to end"
    return locked(root() / "lock", report, waiting)
