"""The effects of `up` and `down` on the machine, without a node."""

import os
import re
import shutil
import types
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from local_platform import doctor, lifecycle
from local_platform.errors import PlatformError
from local_platform.files import locked
from local_platform.node import namespace
from local_platform.settings import DATA_NAMES, RUNTIME_NAMES

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which no node runs; returns the folder of its `data` and `runtime`."""
    monkeypatch.setattr(lifecycle, "_LOCK", tmp_path / "lock")
    for name in ("data", "runtime"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(lifecycle, name.upper(), tmp_path / name)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(namespace, "find", lambda: None)
    monkeypatch.setattr(namespace, "stop", lambda: None)
    return tmp_path


def test_an_unfit_machine_is_not_changed_and_the_next_command_need_not_wait(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PlatformError("no")

    monkeypatch.setattr(doctor, "require", refuse)
    with pytest.raises(PlatformError, match="no"):
        lifecycle.up(print)
    assert not list((machine / "data").iterdir())
    said: list[str] = []
    lifecycle.down(said.append)
    assert said == []


def test_down_keeps_the_data_and_with_purge_deletes_them(machine: Path) -> None:
    (machine / "data" / "volumes" / "deep").mkdir(parents=True)
    lifecycle.down(print)
    assert not (machine / "runtime").exists()
    assert (machine / "data" / "volumes" / "deep").exists()
    lifecycle.down(print, purge=True)
    assert not (machine / "data").exists()


def test_down_keeps_what_the_platform_did_not_make(machine: Path) -> None:
    data, elsewhere = machine / "data", machine / "elsewhere"
    elsewhere.mkdir()
    for file in (elsewhere / "theirs", machine / "runtime" / "their.sock", data / ".kubeconfig"):
        file.touch()
    (data / "volumes").symlink_to(elsewhere)
    (data / "weights" / "release").mkdir(parents=True)
    said: list[str] = []

    lifecycle.down(said.append, purge=True)

    assert said == [
        f"kept in {machine}/runtime, because the platform did not make it: their.sock",
        f"deleting {data}",
        f"kept in {data}, because the platform did not make it: weights",
    ]
    assert (data / "weights" / "release").is_dir()
    assert (elsewhere / "theirs").exists(), "a link goes without its target"
    assert (machine / "runtime" / "their.sock").exists()


def test_data_that_are_mounted_or_cannot_be_deleted_are_an_error(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = machine / "data" / "volumes" / "one"
    mounted.mkdir(parents=True)
    with monkeypatch.context() as patched:
        partition = types.SimpleNamespace(mountpoint=str(mounted))
        patched.setattr(psutil, "disk_partitions", lambda **_: [partition])
        with pytest.raises(PlatformError, match=rf"{mounted} is mounted, .* Unmount it"):
            lifecycle.down(print, purge=True)
    assert mounted.is_dir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(PlatformError, match="data/volumes could not be deleted"):
        lifecycle.down(print, purge=True)


def test_every_place_that_the_code_names_goes_with_the_rest() -> None:
    code = "".join(file.read_text() for file in (ROOT / "local_platform").rglob("*.py"))
    code += (ROOT / "Makefile").read_text()
    in_data = set(re.findall(r'\bDATA(?: / ["\']|}/)([\w.-]+)|:= /var/lib/ft-serving/(\w+)', code))
    in_runtime = set(re.findall(r'\bRUNTIME(?: / ["\']|}/)([\w.-]+)', code))
    assert {name for pair in in_data for name in pair if name} == DATA_NAMES
    assert in_runtime == RUNTIME_NAMES


def test_the_second_of_two_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    first = FileLock(tmp_path / "lock")
    first.acquire()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        first.release()

    with locked(tmp_path / "lock", say, "waiting"), locked(tmp_path / "other", say, "never"):
        assert said == ["waiting"]


def test_without_rights_the_message_says_that_root_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for command in (lifecycle.up, lifecycle.down):
        with pytest.raises(PlatformError, match="The platform needs root"):
            command(print)
