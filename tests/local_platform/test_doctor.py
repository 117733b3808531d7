"""Each thing that doctor finds lacking, and what it says to do."""

import os
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from local_platform import doctor
from local_platform.doctor import examine, require
from local_platform.errors import PlatformError, ToolchainMissingError
from local_platform.node import namespace

GIB = 1024**3


@pytest.fixture(autouse=True)
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has everything; returns the folder of its commands, all of which succeed."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("apt-get", "ip", "iptables", "modprobe", "unshare"):
        (commands / name).touch(mode=0o755)
        (commands / name).write_text("#!/bin/sh\n")
    (tmp_path / "tun").touch()
    (tmp_path / "filesystems").write_text("nodev\toverlay\n")
    for controller in ("cpu", "cpuset", "memory", "pids", "freezer"):
        (tmp_path / "cgroup" / controller).mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{commands}:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname="Linux", machine="x86_64"))
    monkeypatch.setattr(namespace, "find", lambda: None)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 * GIB))
    monkeypatch.setattr(doctor, "find", lambda: None)
    monkeypatch.setattr(doctor, "FORWARDED", ())
    monkeypatch.setattr(doctor, "_TUN", tmp_path / "tun")
    monkeypatch.setattr(doctor, "_FILE_SYSTEMS", tmp_path / "filesystems")
    monkeypatch.setattr(doctor, "_CGROUPS", tmp_path / "cgroup")
    return commands


def lacking() -> dict[str, str]:
    """What is lacking, each with what was found."""
    return {one.subject: one.found for one in examine() if one.remedy}


def break_command(folder: Path, name: str, message: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho 'noise' >&2\necho '{message}' >&2\nexit 1\n")


def test_a_machine_that_has_everything_is_fit() -> None:
    assert lacking() == {}
    require()


def test_another_system_or_user_is_named(fit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname="Darwin", machine="arm64"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (fit / "apt-get").unlink()
    monkeypatch.setenv("PATH", f"{fit}")
    found = lacking()
    assert found["system"] == "Darwin on arm64 without apt-get"
    assert found["user"] == "user id 1000"


def test_too_little_memory_is_named_unless_the_platform_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3.5 * GIB))
    assert lacking() == {"memory": "3.5 GiB available"}

    monkeypatch.setattr(namespace, "find", psutil.Process)
    assert lacking() == {}


def test_too_little_disk_is_named_with_the_folder_that_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "DATA", tmp_path / "not" / "yet")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * GIB))
    assert lacking() == {"disk for data": f"2.0 GiB free at {tmp_path}"}


def test_disk_for_building_is_asked_for_only_where_tools_are_not_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def find() -> None:
        raise ToolchainMissingError(["pulumi"])

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=12 * GIB))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert lacking() == {}

    monkeypatch.setattr(doctor, "find", find)

    assert lacking() == {"disk for building the tools": f"12.0 GiB free at {tmp_path}"}


def test_namespaces_and_devices_that_are_missing_are_named(
    fit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_command(fit, "unshare", "unshare failed: Operation not permitted")
    (tmp_path / "tun").unlink()
    assert lacking() == {
        "namespaces": "unshare failed: Operation not permitted",
        "/dev/net/tun": "missing",
        "network": "unshare failed: Operation not permitted",
    }
    (fit / "unshare").unlink()
    monkeypatch.setenv("PATH", str(fit))
    assert lacking()["namespaces"] == "unshare is not installed"


def test_overlayfs_is_lacking_where_neither_kernel_nor_modules_have_it(
    fit: Path, tmp_path: Path
) -> None:
    (tmp_path / "filesystems").write_text("nodev\ttmpfs\n\text4\n")
    assert lacking() == {}, "the kernel can load it"

    break_command(fit, "modprobe", "FATAL: Module overlay not found")

    assert lacking() == {"overlay file system": "unknown to the kernel"}


def test_missing_controllers_are_named_for_either_version(tmp_path: Path) -> None:
    (tmp_path / "cgroup" / "pids").rmdir()
    (tmp_path / "cgroup" / "cpu").rmdir()
    assert lacking() == {"control groups": "v1 without cpu, pids"}

    listing = tmp_path / "cgroup" / "cgroup.controllers"
    listing.write_text("cpuset cpu io pids\n")
    assert lacking() == {"control groups": "v2 without memory"}

    listing.write_text("cpuset cpu io memory pids\n")
    assert lacking() == {}


def test_a_port_that_is_taken_is_named_with_how_to_find_who_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(doctor, "FORWARDED", (port,))

        (lack,) = [one for one in examine() if one.remedy]

        assert lack.subject == f"port {port}"
        assert lack.found == "cannot be used: Address already in use"
        assert f"sport = :{port}" in str(lack.remedy)
        monkeypatch.setattr(namespace, "find", psutil.Process)
        assert lacking() == {}, "the platform itself has it"
    monkeypatch.setattr(namespace, "find", lambda: None)
    assert lacking() == {}


def test_all_that_is_lacking_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (tmp_path / "tun").unlink()

    with pytest.raises(PlatformError) as caught:
        require()

    assert str(caught.value) == (
        "This machine cannot run the platform yet:\n"
        "  user: user id 1000. Run it as root: namespaces, mounts and packages need that.\n"
        "  /dev/net/tun: missing. Load the module (`modprobe tun`) or give the container that"
        " device."
    )
