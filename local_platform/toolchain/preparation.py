"""Brings the tools of the platform to a machine, building those that it lacks."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

from filelock import FileLock, Timeout

from local_platform.errors import ToolchainMissingError
from local_platform.toolchain import debian, pins
from local_platform.toolchain.build import Builder
from local_platform.toolchain.go import find_go
from local_platform.toolchain.groups import GROUPS, Group
from local_platform.toolchain.store import Toolchain, find, root

_CORES_OF_COST = 2

_DISCARDED = "discarded-"
"""The beginning of the name of a folder that is being deleted."""


def prepare(report: Callable[[str], None]) -> Toolchain:
    """Install the Debian packages and build the tools that the machine lacks.

    Nothing is done, and next to nothing said, where all is there. A run that was ended goes on
    from where it was; one that runs beside another waits for it. What Go downloaded and compiled
    stays until `discard_scratch`.

    Args:
        report: Takes lines about what is done, and how far it is.

    Raises:
        PlatformError: what went wrong, and what to do.
    """
    debian.install_packages(report)
    return build_missing(GROUPS, report)


def build_missing(groups: Sequence[Group], report: Callable[[str], None]) -> Toolchain:
    """Build those groups that are not in the cache.

    Args:
        groups: The groups.
        report: Takes lines about what is built, and how far it is.

    Raises:
        PlatformError: what went wrong, and what to do.
    """
    with suppress(ToolchainMissingError):
        return find(groups)
    with _only_one(report):
        try:
            return find(groups)
        except ToolchainMissingError as exc:
            missing = [group for group in groups if group.name in exc.groups]
        _build(missing, report)
    return find(groups)


@contextmanager
def _only_one(report: Callable[[str], None]) -> Iterator[None]:
    root().mkdir(parents=True, exist_ok=True)
    lock = FileLock(root() / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report("another process builds the platform's tools: waiting for it to end")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(groups: Sequence[Group], report: Callable[[str], None]) -> None:
    scratch = root() / "scratch"
    at_least = max(pins.read_pins(group.modules / group.name).go for group in groups)
    builder = Builder(go=find_go(at_least, scratch / "go", report), scratch=scratch, report=report)
    cores = os.cpu_count() or 1
    estimate = sum(group.cost_s for group in groups) * _CORES_OF_COST / cores
    report(
        f"building {', '.join(group.name for group in groups)} into {root()}: "
        f"about {timedelta(seconds=round(estimate))} with {cores} cores, and the downloads"
    )
    for number, group in enumerate(groups, 1):
        builder.build(group, f"{group.name} ({number} of {len(groups)})")


def discard_scratch(report: Callable[[str], None]) -> None:
    """Have what Go downloaded and compiled deleted, once all groups are built.

    A process of its own deletes it, because it is a hundred thousand files, and some disks need
    minutes for them. Where that process is ended, the next call begins another.
    """
    scratch = root() / "scratch"
    if scratch.exists():
        with _only_one(report):
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
