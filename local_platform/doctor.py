"""What a machine must have before anything is changed on it, and how to get it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from local_platform.errors import PlatformError, ToolchainMissingError
from local_platform.node import namespace
from local_platform.node.uplink import FORWARDED
from local_platform.settings import DATA, cache
from local_platform.toolchain import find

_MEMORY = 4 * 1024**3
"""Of the platform 2 GiB, and as much again for what runs on it."""

_DATA_DISK = 10 * 1024**3
_BUILD_DISK = 15 * 1024**3
"""Sources and compiled packages while the tools are built; they are deleted afterwards."""

_CONTROLLERS = {"cpu", "cpuset", "memory", "pids"}

_TUN = Path("/dev/net/tun")
_FILE_SYSTEMS = Path("/proc/filesystems")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class MachineCheck:
    """One thing that was looked at.

    Attributes:
        subject: What it is.
        found: What the machine has.
        remedy: What to do about it; `None` when it is as it should be.
    """

    subject: str
    found: str
    remedy: str | None = None


def require() -> None:
    """Check the machine.

    Raises:
        PlatformError: It lacks something; the message has all of it.
    """
    lacks = [
        f"  {check.subject}: {check.found}. {check.remedy}" for check in examine() if check.remedy
    ]
    if lacks:
        raise PlatformError("This machine cannot run the platform yet:\n" + "\n".join(lacks))


def examine() -> list[MachineCheck]:
    """Look at everything, and change nothing."""
    running = os.geteuid() == 0 and namespace.find() is not None
    checks: list[Callable[[], MachineCheck]] = [
        _system,
        _root,
        _memory,
        _data_disk,
        _toolchain,
        _namespaces,
        _tun,
        _file_system,
        _control_groups,
        _network,
    ]
    findings = [check() for check in checks]
    if running:
        return [*findings, MachineCheck(subject="ports", found="the platform is running")]
    return [*findings, *(_port(port) for port in FORWARDED)]


def _system() -> MachineCheck:
    machine = f"{os.uname().sysname} on {os.uname().machine}"
    if machine != "Linux on x86_64" or shutil.which("apt-get") is None:
        return MachineCheck(
            subject="system",
            found=f"{machine}{'' if shutil.which('apt-get') else ' without apt-get'}",
            remedy="Use Debian 12 or a like system on x86-64, as a virtual machine if need be.",
        )
    return MachineCheck(subject="system", found=f"{machine} with apt-get")


def _root() -> MachineCheck:
    if os.geteuid() != 0:
        return MachineCheck(
            subject="user",
            found=f"user id {os.geteuid()}",
            remedy="Run it as root: namespaces, mounts and packages need that.",
        )
    return MachineCheck(subject="user", found="root")


def _memory() -> MachineCheck:
    memory = psutil.virtual_memory().available
    if memory < _MEMORY and namespace.find() is None:
        return MachineCheck(
            subject="memory",
            found=f"{_gib(memory)} available",
            remedy=f"Free some: {_gib(_MEMORY)} are needed.",
        )
    return MachineCheck(subject="memory", found=f"{_gib(memory)} available")


def _data_disk() -> MachineCheck:
    return _disk("disk for data", DATA, _DATA_DISK)


def _disk(subject: str, folder: Path, needed: int) -> MachineCheck:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    found = f"{_gib(free)} free at {existing}"
    if free < needed:
        return MachineCheck(
            subject=subject, found=found, remedy=f"Free some: {_gib(needed)} are needed."
        )
    return MachineCheck(subject=subject, found=found)


def _toolchain() -> MachineCheck:
    try:
        find()
    except ToolchainMissingError:
        return _disk("disk for building the tools", cache(), _BUILD_DISK)
    return MachineCheck(subject="tools", found="built")


def _namespaces() -> MachineCheck:
    reason = _fails("unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork", "true")
    if reason:
        return MachineCheck(
            subject="namespaces",
            found=reason,
            remedy="Use a kernel with mount, pid, net, uts and ipc namespaces, and, in a container,"
            " a privileged one.",
        )
    return MachineCheck(subject="namespaces", found="can be made")


def _tun() -> MachineCheck:
    if not _TUN.exists():
        return MachineCheck(
            subject="/dev/net/tun",
            found="missing",
            remedy="Load the module (`modprobe tun`) or give the container that device.",
        )
    return MachineCheck(subject="/dev/net/tun", found="there")


def _file_system() -> MachineCheck:
    # The kernel loads the module when it is first mounted, so that it need not be listed yet.
    listed = "overlay" in _FILE_SYSTEMS.read_text()
    if not listed and _fails("modprobe", "overlay"):
        return MachineCheck(
            subject="overlay file system",
            found="unknown to the kernel",
            remedy="Use a kernel with overlayfs, which images are mounted with.",
        )
    return MachineCheck(subject="overlay file system", found="there")


def _control_groups() -> MachineCheck:
    listing = _CGROUPS / "cgroup.controllers"
    version = "v2" if listing.exists() else "v1"
    if version == "v2":
        found = set(listing.read_text().split())
    else:
        found = {path.name for path in _CGROUPS.iterdir()} if _CGROUPS.is_dir() else set()
    if missing := _CONTROLLERS - found:
        return MachineCheck(
            subject="control groups",
            found=f"{version} without {', '.join(sorted(missing))}",
            remedy="Enable these controllers on the kernel's command line or mount them.",
        )
    return MachineCheck(subject="control groups", found=version)


def _network() -> MachineCheck:
    # In a network namespace that ends with the command: nothing of the machine's is changed.
    commands = [
        "ip link add name probe0 type bridge",
        "ip link add probe1 type veth peer name probe2",
    ]
    if shutil.which("iptables"):
        commands += [
            "iptables -t nat -A POSTROUTING -j MASQUERADE",
            "iptables -A FORWARD -m conntrack --ctstate NEW -m comment --comment probe -j ACCEPT",
            "iptables -A FORWARD -m statistic --mode random --probability 0.5 -j ACCEPT",
        ]
    reason = _fails("unshare", "--net", "--", "sh", "-euc", "\n".join(commands))
    if reason:
        return MachineCheck(
            subject="network",
            found=reason,
            remedy="Use a kernel with bridges, veth, and iptables' nat, conntrack, comment and"
            " statistic.",
        )
    return MachineCheck(subject="network", found="bridges, veth and address translation work")


def _port(port: int) -> MachineCheck:
    subject = f"port {port}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            return MachineCheck(
                subject=subject,
                found=f"cannot be used: {exc.strerror}",
                remedy=f"End what listens there; `ss -ltnp sport = :{port}` names it.",
            )
    return MachineCheck(subject=subject, found="free")


def _fails(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or f"{command[0]} exited with {done.returncode}").splitlines()[-1]


def _gib(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
