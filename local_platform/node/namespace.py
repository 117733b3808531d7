"""Makes and ends the namespaces of the node, whose first process is the supervisor.

A process of a pid namespace dies with the namespace's init, a mount with the last process of its
mount namespace, interfaces and iptables rules with the network namespace. So ending one process
takes the whole platform away, whatever state it is in, and nothing of the machine's own network,
mounts or firewall is ever changed. Only control groups outlive their processes; they lie in folders
of their own.
"""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from local_platform.errors import PlatformError
from local_platform.settings import DATA, LOGS, NODE, RUNTIME, RUNTIME_NAMES

SERVICES = RUNTIME / "services"
HOST_NETWORK = RUNTIME / "host-network"
"""Inside the node: a handle to the machine's own network namespace, for the uplink only."""

RESOLV_CONF = RUNTIME / "resolv.conf"
MADE_FOLDERS = DATA / "made-folders"
"""A list of the fixed folders that the machine lacked: `stop` removes only these, after a reboot
as well."""

BUILD_NETWORK = "172.30.0.0/24"
"""The network of Docker's bridge, only for builds."""

CONTROL_GROUP = "ft-serving"
"""The control group of all pods and builds, one a hierarchy."""

_INIT = ["runsvdir", "-P", str(SERVICES)]
_CGROUPS = Path("/sys/fs/cgroup")
_NAMESERVER = "10.0.2.3"  # slirp4netns(1): its own resolver, which asks the machine's.

# kubelet, containerd and the CNI plugins have fixed paths for these. Inside the node they are the
# platform's own, and outside the machine still sees its own, perhaps another cluster's.
_OWN_FOLDERS = {
    Path("/var/lib/kubelet"): DATA / "kubelet",
    Path("/var/lib/cni"): RUNTIME / "cni",
    Path("/var/log"): LOGS / "node",
}

_SETUP = """
set -eu
mount --make-rshared /
: > {host_network}
mount --bind /proc/self/ns/net {host_network}
mount --bind {resolv_conf} "$(readlink -f /etc/resolv.conf)"
{folders}
hostname {node}
exec unshare --net -- sh -euc '
    ip link set lo up
    iptables -t nat -A POSTROUTING -s {builds} ! -d {builds} -j MASQUERADE
    echo 1 > /proc/sys/net/ipv4/ip_forward
    exec {init}'
"""


def find() -> psutil.Process | None:
    """Return the first process of the node's namespaces, or None if the node is not running."""
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] == _INIT and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def start() -> psutil.Process:
    """Make the namespaces and start the supervisor in them; return the supervisor.

    Raises:
        PlatformError: It did not come up; the message has its output.
    """
    _prepare_folders()
    script = _SETUP.format(
        host_network=HOST_NETWORK,
        resolv_conf=RESOLV_CONF,
        folders="\n".join(f"mount --bind {own} {path}" for path, own in _OWN_FOLDERS.items()),
        node=NODE,
        builds=BUILD_NETWORK,
        init=" ".join(_INIT),
    )
    log = LOGS / "node.log"
    with log.open("wb") as output:
        outer = subprocess.Popen(
            ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
             "--mount-proc", "--", "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, cwd="/",
        )  # fmt: skip
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process := find():
            return process
        if outer.poll() is not None:
            break
        time.sleep(0.02)
    raise PlatformError(
        f"The node's namespaces could not be made: {log.read_text().strip() or 'no output'}\n"
        "`python -m local_platform doctor` names what this machine lacks."
    )


def _prepare_folders() -> None:
    RUNTIME.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = {*_made_folders(), *(path for path in _OWN_FOLDERS if not path.exists())}
    # A node that was killed, or a reboot, leaves addresses, process ids and sockets of processes
    # that no longer exist.
    for left in RUNTIME.iterdir():
        if left.name not in RUNTIME_NAMES or left == SERVICES:
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()
    MADE_FOLDERS.write_text("".join(f"{path}\n" for path in sorted(made)))
    for folder in (SERVICES, *_OWN_FOLDERS, *_OWN_FOLDERS.values()):
        folder.mkdir(parents=True, exist_ok=True)
    RESOLV_CONF.write_text(f"nameserver {_NAMESERVER}\n")
    for hierarchy in _hierarchies():
        (hierarchy / CONTROL_GROUP).mkdir(exist_ok=True)


def entering(command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` inside the node.

    Raises:
        PlatformError: The node is not running.
    """
    process = find()
    if process is None:
        raise PlatformError("The platform is not running. Start it with `make platform`.")
    return ["nsenter", f"--target={process.pid}", "--mount", "--uts", "--ipc", "--net", "--pid",
            "--", *command]  # fmt: skip


def stop(patience: float = 20.0) -> None:
    """End every process of the node; mounts, interfaces and rules go with the last of them.

    Raises:
        PlatformError: Something is still there after `patience` seconds.
    """
    process = find()
    if process is not None:
        outer = process.parent()
        process.kill()
        gone = [process, *([outer] if outer else [])]
        _, alive = psutil.wait_procs(gone, timeout=patience)
        if alive:
            raise PlatformError(f"The node's process {alive[0].pid} is still there after SIGKILL.")
    _remove_control_groups(patience)
    for folder in _made_folders():
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
    MADE_FOLDERS.unlink(missing_ok=True)


def _made_folders() -> list[Path]:
    lines = MADE_FOLDERS.read_text().splitlines() if MADE_FOLDERS.exists() else []
    return [Path(line) for line in lines]


def _hierarchies() -> list[Path]:
    """Return the mounted hierarchies: one for each controller with cgroup v1, one with v2."""
    if (_CGROUPS / "cgroup.procs").exists():
        return [_CGROUPS]
    return [path for path in _CGROUPS.iterdir() if (path / "cgroup.procs").exists()
            and not path.is_symlink()]  # fmt: skip


def _remove_control_groups(patience: float) -> None:
    deadline = time.monotonic() + patience
    for hierarchy in _hierarchies():
        root = hierarchy / CONTROL_GROUP
        groups = [*root.rglob("*/"), root] if root.exists() else []
        for group in sorted(groups, key=lambda path: len(path.parts), reverse=True):
            while group.exists():
                try:
                    group.rmdir()
                except OSError as exc:
                    # The kernel lets go of a group a moment after its last process.
                    if time.monotonic() > deadline:
                        raise PlatformError(
                            f"Cannot remove the control group {group}: {exc}"
                        ) from exc
                    time.sleep(0.05)
