"""Observes the platform from the machine that it runs on."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from local_platform.node import namespace
from local_platform.node.namespace import SERVICES
from local_platform.settings import RUNTIME

_CGROUPS = Path("/sys/fs/cgroup")


class Machine(NamedTuple):
    """The parts of a machine's state in which a program could leave something."""

    mounts: list[str]
    interfaces: list[str]
    rules: list[str]
    namespaces: list[str]


def look() -> Machine:
    """Return the machine's state, without numbers of mounts and counters of rules."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return Machine(
        mounts=sorted(line.split(" ", 3)[3] for line in mounts),
        interfaces=_lines("ip", "-brief", "address"),
        rules=[line for line in _lines("iptables-save") if not line.startswith(("#", ":"))],
        namespaces=_lines("ip", "netns", "list"),
    )


def _lines(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.strip() for line in done.stdout.splitlines()]


def init() -> psutil.Process:
    """Return the first process of the node's namespaces."""
    process = namespace.find()
    assert process is not None, "the node is not running"
    return process


def node_processes() -> set[psutil.Process]:
    """Return every process of the node with its pods, and the one that made its namespaces."""
    first = init()
    outer = first.parent()
    assert outer is not None
    # Whoever loses its parent in a namespace of process ids becomes a child of its init.
    return {outer, first, *first.children(recursive=True)}


def alive(processes: set[psutil.Process]) -> set[str]:
    """Return the command lines of those processes that still exist."""
    there = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                there.add(" ".join(process.cmdline()))
    return there


def supervisor_of(part: str) -> psutil.Process:
    """Return the runsv of a part."""
    return _only_child(init(), lambda command: command == ["runsv", part])


def process_of(part: str) -> psutil.Process:
    """Return a part's own process, not the one that writes its log."""
    return _only_child(supervisor_of(part), lambda command: command[:1] != ["svlogd"])


def _only_child(parent: psutil.Process, wanted: Callable[[list[str]], bool]) -> psutil.Process:
    found = []
    for child in parent.children():
        # One that has just ended, and whose parent has not looked yet, has no command line.
        with suppress(psutil.NoSuchProcess):
            if wanted(child.cmdline()):
                found.append(child)
    (process,) = found
    return process


def started_again(part: str, killed: psutil.Process) -> bool:
    """Return whether a part has a process that is not the killed one."""
    try:
        return process_of(part) != killed
    except (ValueError, psutil.NoSuchProcess):
        return False


def leftovers() -> list[Path]:
    """Return the platform's files and control groups, without its data."""
    places = [RUNTIME, Path("/var/lib/kubelet"), Path("/var/lib/cni"), *_CGROUPS.glob("ft-serving"),
              *_CGROUPS.glob("*/ft-serving")]  # fmt: skip
    return [place for place in places if place.exists()]


def processes_of(pod_uid: str) -> list[psutil.Process]:
    """Return the processes in a pod's containers."""
    found = []
    for process in init().children(recursive=True):
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            if pod_uid in Path(f"/proc/{process.pid}/cgroup").read_text():
                found.append(process)
    return found


@contextmanager
def without(part: str) -> Iterator[None]:
    """Keep a part of the node stopped while the context is open."""
    try:
        _sv("force-stop", part)
        yield
    finally:
        _sv("start", part)


def _sv(action: str, part: str) -> None:
    command = ["sv", "-w", "2", action, str(SERVICES / part)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # `kill:` says that two seconds were not enough, and that it was killed.
    assert done.returncode == 0 or done.stdout.startswith("kill:"), done.stdout + done.stderr
