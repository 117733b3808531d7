"""Installs the Debian packages that the platform runs, and keeps their services from starting.

deb-systemd-invoke(1p) and invoke-rc.d(8) own the contract of policy-rc.d.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from local_platform.errors import PlatformError
from local_platform.settings import Report

PACKAGES = (
    "ca-certificates", "conntrack", "containerd", "containernetworking-plugins", "debootstrap",
    "docker-registry", "docker.io", "etcd-server", "gcc", "iproute2", "iptables", "kmod",
    "libc6-dev", "runc", "runit", "slirp4netns", "util-linux",
)  # fmt: skip

_UNITS = {
    "containerd": ("containerd.service",),
    "docker-registry": ("docker-registry.service",),
    "docker.io": ("docker.service", "docker.socket"),
    "etcd-server": ("etcd.service",),
}

_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_TEXT = (
    "#!/bin/sh\n# ft-serving: no service is started while its packages are installed.\nexit 101\n"
)
_SYSTEMD = Path("/run/systemd/system")
_OLD_INDEX = ("Unable to locate package", "has no installation candidate", "404  Not Found")

Run = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
"""Runs a command to its end and captures its output."""


def run_command(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of dpkg or apt, which asks nothing and answers in English."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        env=environment,
    )


def install_packages(
    report: Report,
    *,
    run: Run = run_command,
    policy: Path = _POLICY,
    systemd: Path = _SYSTEMD,
) -> None:
    """Install the packages that are missing.

    Args:
        report: Takes lines about what is done.
        run: Runs dpkg, apt-get and systemctl.
        policy: The file in which Debian looks for the machine's policy about starting services.
        systemd: A folder that exists only if systemd runs.

    Raises:
        PlatformError: A package could not be installed or would remove others, or this is no
            Debian.
    """
    missing = _missing(run)
    if not missing:
        return
    report(f"installing Debian packages: {', '.join(missing)}")
    try:
        with _no_service_starts(policy):
            _install(missing, report, run)
    except PermissionError as exc:
        raise PlatformError(
            f"only root can install Debian packages, and these are missing: {' '.join(missing)}"
        ) from exc
    units = [unit for package in missing for unit in _UNITS.get(package, ())]
    if units and systemd.is_dir():
        # They would start at the next boot.
        run(["systemctl", "disable", *units])


def _missing(run: Run) -> list[str]:
    try:
        asked = run(
            ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *PACKAGES]
        )
    except FileNotFoundError as exc:
        raise PlatformError(
            "dpkg-query is not there: the platform runs on Debian and what derives from it"
        ) from exc
    installed = {
        line.removesuffix(" installed")
        for line in asked.stdout.splitlines()
        if line.endswith(" installed")
    }
    return [package for package in PACKAGES if package not in installed]


def _install(packages: Sequence[str], report: Report, run: Run) -> None:
    # Docker's own packages conflict with Debian's. If the machine has them, they stay.
    options = ["--yes", "--no-install-recommends", "--no-remove", "-oDPkg::Lock::Timeout=300"]
    command = ["apt-get", "install", *options, *packages]
    try:
        installed = run(command)
        if any(sign in installed.stderr for sign in _OLD_INDEX):
            report("apt's index does not know them, or only older ones: updating it")
            updated = run(["apt-get", "update"])
            installed = updated if updated.returncode else run(command)
    except FileNotFoundError as exc:
        raise PlatformError(f"apt-get is not there; install {' '.join(packages)}") from exc
    if installed.returncode:
        said = "\n".join(f"  {line}" for line in installed.stderr.strip().splitlines()[-10:])
        raise PlatformError(
            f"apt-get failed:\n{said}\n"
            "It needs root, the network and a Debian archive. Correct that, or run it yourself: "
            f"apt-get install --no-install-recommends {' '.join(packages)}"
        )


@contextmanager
def _no_service_starts(policy: Path) -> Iterator[None]:
    """Put our policy in place while the context is open.

    A killed run leaves ours in place and the machine's own aside; the next run restores it.
    """
    aside = policy.with_name(policy.name + ".ft-serving")
    if os.path.lexists(policy) and not _is_ours(policy):
        policy.rename(aside)
    policy.write_text(_POLICY_TEXT)
    policy.chmod(0o755)
    try:
        yield
    finally:
        # A package's script may have put another in its place.
        if _is_ours(policy):
            policy.unlink()
        if os.path.lexists(aside) and not os.path.lexists(policy):
            aside.rename(policy)


def _is_ours(policy: Path) -> bool:
    # A link is never ours: writing through it would overwrite the machine's own.
    return (
        policy.is_file()
        and not policy.is_symlink()
        and policy.read_text(errors="replace") == _POLICY_TEXT
    )
