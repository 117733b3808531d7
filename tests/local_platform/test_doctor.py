"""Each thing that doctor finds lacking, and what it says to do."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from local_platform import doctor
from local_platform.doctor import examine, require
from local_platform.errors import PlatformError
from local_platform.node import namespace
from local_platform.toolchain.groups import GROUPS

GIB = 1024**3
DENIED = "unshare failed: Operation not permitted"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has everything; its commands, all of which succeed, are in `bin`."""
    (tmp_path / "bin").mkdir()
    for name in ("apt-get", "ip", "iptables", "modprobe", "unshare"):
        (tmp_path / "bin" / name).touch(mode=0o755)
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
    (tmp_path / "tun").touch()
    (tmp_path / "filesystems").write_text("nodev\toverlay\n")
    for controller in ("cpu", "cpuset", "memory", "pids", "freezer"):
        (tmp_path / "cgroup" / controller).mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname="Linux", machine="x86_64"))
    monkeypatch.setattr(namespace, "find", lambda: None)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 * GIB))
    monkeypatch.setattr(doctor, "missing", list)
    monkeypatch.setattr(doctor, "FORWARDED", ())
    monkeypatch.setattr(doctor, "DATA", tmp_path / "not" / "yet")
    monkeypatch.setattr(doctor, "_TUN", tmp_path / "tun")
    monkeypatch.setattr(doctor, "_FILE_SYSTEMS", tmp_path / "filesystems")
    monkeypatch.setattr(doctor, "_CGROUPS", tmp_path / "cgroup")
    return tmp_path


def lacking() -> dict[str, str]:
    """Return what is lacking, each with what was found."""
    return {one.subject: one.found for one in examine() if one.remedy}


Change = Callable[[Path, pytest.MonkeyPatch], object]


def fail(command: str, message: str) -> Change:
    script = f"#!/bin/sh\necho 'noise' >&2\necho '{message}' >&2\nexit 1\n"
    return lambda machine, _: (machine / "bin" / command).write_text(script)


def patch(module: object, name: str, value: object) -> Change:
    return lambda _, monkeypatch: monkeypatch.setattr(module, name, value)


def no_overlay(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "filesystems").write_text("nodev\ttmpfs\n\text4\n")
    assert lacking() == {}, "the kernel can load it"
    fail("modprobe", "FATAL: Module overlay not found")(machine, monkeypatch)


def no_disk_for_building(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=12 * GIB))
    assert lacking() == {}, "the tools are built"
    monkeypatch.setattr(doctor, "missing", lambda: GROUPS)


def fewer_groups(machine: Path, _: pytest.MonkeyPatch) -> None:
    (machine / "cgroup" / "pids").rmdir()
    (machine / "cgroup" / "cpu").rmdir()


def fewer_groups_v2(machine: Path, _: pytest.MonkeyPatch) -> None:
    (machine / "cgroup" / "cgroup.controllers").write_text("cpuset cpu io pids\n")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda *_: None, {}),
        (
            patch(os, "uname", lambda: SimpleNamespace(sysname="Darwin", machine="arm64")),
            {"system": "Darwin on arm64 with apt-get"},
        ),
        (no_disk_for_building, {"disk for building the tools": "12.0 GiB free at {machine}"}),
        (fail("unshare", DENIED), {"namespaces": DENIED, "network": DENIED}),
        (no_overlay, {"overlay file system": "unknown to the kernel"}),
        (fewer_groups, {"control groups": "v1 without cpu, pids"}),
        (fewer_groups_v2, {"control groups": "v2 without memory"}),
    ],
)
def test_what_a_machine_lacks_is_named(
    machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
    found: dict[str, str],
) -> None:
    change(machine, monkeypatch)
    assert lacking() == {subject: text.format(machine=machine) for subject, text in found.items()}


def test_what_the_platform_itself_uses_is_not_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=GIB))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(doctor, "FORWARDED", (port,))
        assert lacking() == {
            "memory": "1.0 GiB available",
            f"port {port}": "cannot be used: Address already in use",
        }
        monkeypatch.setattr(namespace, "find", psutil.Process)
        assert lacking() == {}


def test_all_that_is_lacking_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, machine: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (machine / "tun").unlink()

    with pytest.raises(PlatformError) as caught:
        require()

    first, user, tun = str(caught.value).splitlines()
    assert first == "This machine cannot run the platform yet:"
    assert user.startswith("  user: user id 1000. Run it as root: ")
    assert tun.startswith("  /dev/net/tun: missing. Load the module (`modprobe tun`)")
