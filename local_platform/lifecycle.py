"""Brings the platform up from whatever state it is in, and takes it down."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from local_platform import addons, doctor, environment, provider_plugins
from local_platform.errors import PlatformError
from local_platform.files import locked
from local_platform.node import (
    certificates,
    configuration,
    health,
    namespace,
    parts,
    services,
)
from local_platform.settings import (
    DATA,
    DATA_NAMES,
    KUBECONFIG,
    RUNTIME,
    RUNTIME_NAMES,
    STACKS,
    Report,
)
from local_platform.toolchain import discard_scratch, prepare

_LOCK = Path("/run/lock/ft-serving-platform.lock")
_NODE_SECONDS = 120


@contextmanager
def _alone(report: Report) -> Iterator[None]:
    """Keep every other `up` and `down` of this machine waiting."""
    if os.geteuid() != 0:
        raise PlatformError("The platform needs root: namespaces, mounts and packages need that.")
    waiting = "Another `up` or `down` is at work on this machine; waiting for it."
    with locked(_LOCK, report, waiting):
        yield


def up(report: Report) -> None:
    """Bring the platform up, from nothing or from any state in between.

    Raises:
        PlatformError: The machine lacks something, or a part does not come up.
    """
    with _alone(report):
        doctor.require()
        toolchain = prepare(report)
        provider_plugins.install(toolchain, report)
        discard_scratch(report)
        STACKS.mkdir(parents=True, exist_ok=True)
        certificates.ensure()
        configuration.write_all()
        described = parts.services(toolchain.tool)
        _run(described, report)
        report("waiting for the node")
        health.wait(described, _NODE_SECONDS, report)
        addons.install(toolchain, KUBECONFIG, report)
        environment.write(toolchain)


def _run(described: list[services.Service], report: Report) -> None:
    running = namespace.find() is not None
    changed = [service.name for service in described if services.write(service)]
    obsolete = set(services.names()) - {service.name for service in described}
    if not running:
        for name in obsolete:
            services.remove(name)
        report(f"starting {len(described)} parts in namespaces of their own")
        namespace.start()
        return
    for name in obsolete:
        services.stop(name)
        services.remove(name)
    for service in described:
        if service.name in changed:
            report(f"starting {service.name} again: what it reads or runs has changed")
            services.restart(service.name)
        else:
            services.start(service.name)


def down(report: Report, *, purge: bool = False) -> None:
    """End every process of the platform; what it wrote stays unless `purge`.

    Files of others in the platform's folders always stay, and are named.

    Raises:
        PlatformError: Something could not be ended or removed.
    """
    with _alone(report):
        namespace.stop()
        _delete(RUNTIME, RUNTIME_NAMES, report)
        if purge:
            report(f"deleting {DATA}")
            _delete(DATA, DATA_NAMES, report)


def _delete(folder: Path, names: Collection[str], report: Report) -> None:
    """Delete what the platform made in a folder, and the folder if nothing else is there.

    Raises:
        PlatformError: Something is mounted there, or cannot be deleted.
    """
    if not folder.is_dir():
        return
    within = folder.resolve()
    mounts = [it.mountpoint for it in psutil.disk_partitions(all=True)]
    if below := sorted(it for it in mounts if within in Path(it).parents):
        raise PlatformError(
            f"{', '.join(below)} is mounted, and its files may be someone else's: nothing in "
            f"{folder} was deleted. Unmount it, then run this again."
        )
    for path in folder.iterdir():
        # Also a file that a killed run left half-written: files.write_whole.
        if path.name.removeprefix(".") not in names:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
        if path.exists():
            raise PlatformError(f"{path} could not be deleted; something else uses it.")
    if left := sorted(path.name for path in folder.iterdir()):
        report(f"kept in {folder}, because the platform did not make it: {', '.join(left)}")
    elif not folder.is_symlink() and str(within) not in mounts:
        folder.rmdir()
