"""Checks that a machine can run the platform, and says what to do about what it lacks."""

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from local_platform.errors import PlatformError
from local_platform.node import namespace
from local_platform.node.uplink import FORWARDED
from local_platform.settings import DATA, cache
from local_platform.toolchain import missing

_MEMORY = 4 * 1024**3
"""The platform needs 2 GiB; as much again is for what runs on it."""

_DATA_DISK = 10 * 1024**3
_BUILD_DISK = 15 * 1024**3
"""Sources and compiled packages while the tools are built; they are deleted afterwards."""

_CONTROLLERS = {"cpu", "cpuset", "memory", "pids"}

_TUN = Path("/dev/net/tun")
_FILE_SYSTEMS = Path("/proc/filesystems")
_CGROUPS = Path("/sys/fs/cgroup")

# It runs in a network namespace that ends with it, so nothing of the machine's is changed. iptables
# may be among the packages that are still to be installed.
_NETWORK = """
ip link add name probe0 type bridge
ip link add probe1 type veth peer name probe2
command -v iptables >/dev/null || exit 0
iptables -t nat -A POSTROUTING -j MASQUERADE
iptables -A FORWARD -m conntrack --ctstate NEW -m comment --comment probe -j ACCEPT
iptables -A FORWARD -m statistic --mode random --probability 0.5 -j ACCEPT
"""


@dataclass(frozen=True, kw_only=True)
class MachineCheck:
    """One thing that was checked.

    Attributes:
        subject: Its name.
        found: The machine's state.
        remedy: What to do about it; None if nothing.
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
    """Check everything, and change nothing."""
    root = os.geteuid() == 0
    running = root and namespace.find() is not None
    system = f"{os.uname().sysname} on {os.uname().machine}"
    apt = shutil.which("apt-get") is not None
    memory = psutil.virtual_memory().available
    no_namespaces = _error("unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork",
                           "true")  # fmt: skip
    # The kernel loads the module when it is first mounted, so that it need not be listed yet.
    overlay = "overlay" in _FILE_SYSTEMS.read_text() or not _error("modprobe", "overlay")
    no_network = _error("unshare", "--net", "--", "sh", "-euc", _NETWORK)
    findings = [
        _check(
            "system",
            system + (" with apt-get" if apt else " without apt-get"),
            system == "Linux on x86_64" and apt,
            "Use Debian 12 or a like system on x86-64, as a virtual machine if need be.",
        ),
        _check(
            "user",
            "root" if root else f"user id {os.geteuid()}",
            root,
            "Run it as root: namespaces, mounts and packages need that.",
        ),
        _check(
            "memory",
            f"{_gib(memory)} available",
            running or memory >= _MEMORY,
            f"Free some: {_gib(_MEMORY)} are needed.",
        ),
        _disk("disk for data", DATA, _DATA_DISK),
        _tools(),
        _check(
            "namespaces",
            no_namespaces or "can be made",
            not no_namespaces,
            "Use a kernel with mount, pid, net, uts and ipc namespaces, and, in a container, a "
            "privileged one.",
        ),
        _check(
            "/dev/net/tun",
            "there" if _TUN.exists() else "missing",
            _TUN.exists(),
            "Load the module (`modprobe tun`) or give the container that device.",
        ),
        _check(
            "overlay file system",
            "there" if overlay else "unknown to the kernel",
            overlay,
            "Use a kernel with overlayfs, which images are mounted with.",
        ),
        _control_groups(),
        _check(
            "network",
            no_network or "bridges, veth and address translation work",
            not no_network,
            "Use a kernel with bridges, veth, and iptables' nat, conntrack, comment and statistic.",
        ),
    ]
    if running:
        return [*findings, MachineCheck(subject="ports", found="the platform is running")]
    return [*findings, *map(_port, FORWARDED)]


def _check(subject: str, found: str, fine: bool, remedy: str) -> MachineCheck:
    return MachineCheck(subject=subject, found=found, remedy=None if fine else remedy)


def _disk(subject: str, folder: Path, needed: int) -> MachineCheck:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    remedy = f"Free some: {_gib(needed)} are needed."
    return _check(subject, f"{_gib(free)} free at {existing}", free >= needed, remedy)


def _tools() -> MachineCheck:
    if missing():
        return _disk("disk for building the tools", cache(), _BUILD_DISK)
    return MachineCheck(subject="tools", found="built")


def _control_groups() -> MachineCheck:
    listing = _CGROUPS / "cgroup.controllers"
    if listing.exists():
        version, found = "v2", set(listing.read_text().split())
    else:
        version, found = "v1", {path.name for path in _CGROUPS.glob("*")}
    missing = _CONTROLLERS - found
    return _check(
        "control groups",
        version + (f" without {', '.join(sorted(missing))}" if missing else ""),
        not missing,
        "Enable these controllers on the kernel's command line or mount them.",
    )


def _port(port: int) -> MachineCheck:
    reason = None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            reason = f"cannot be used: {exc.strerror}"
    remedy = f"End what listens there; `ss -ltnp sport = :{port}` names it."
    return _check(f"port {port}", reason or "free", not reason, remedy)


def _error(*command: str) -> str | None:
    """Run a command; return None if it succeeds, else the last line that it wrote."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or f"{command[0]} exited with {done.returncode}").splitlines()[-1]


def _gib(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
