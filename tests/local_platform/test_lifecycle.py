"""What `up` and `down` do in which order, with every step replaced by its name."""

import re
import shutil
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from local_platform import addons, doctor, environment, lifecycle, provider_plugins
from local_platform.errors import PlatformError
from local_platform.node import (
    certificates,
    configuration,
    health,
    kubeconfig,
    namespace,
    parts,
    services,
)
from local_platform.node.services import Service
from local_platform.settings import DATA_NAMES, RUNTIME_NAMES

ROOT = Path(__file__).parents[2]

STEPS = (
    (doctor, "require"),
    (lifecycle, "prepare"),
    (provider_plugins, "install"),
    (lifecycle, "discard_scratch"),
    (certificates, "ensure"),
    (kubeconfig, "write_all"),
    (configuration, "write_all"),
    (namespace, "start"),
    (services, "start"),
    (services, "restart"),
    (services, "stop"),
    (health, "wait"),
    (addons, "install"),
    (environment, "write"),
    (namespace, "stop"),
)


@pytest.fixture
def steps(
    tmp_path: Path, service_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, ...]]:
    """Gets each step's name, and the service's where one is given."""
    done: list[tuple[str, ...]] = []

    def step(name: str) -> Callable[..., object]:
        def run(*given: Any, **_: Any) -> Any:
            done.append((name, *(one for one in given if isinstance(one, str))))
            return lifecycle  # Whatever has attributes; nothing is called on it but `tool`.

        return run

    for module, name in STEPS:
        short = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, name, step(f"{short}.{name}"))
    monkeypatch.setattr(lifecycle, "tool", None, raising=False)
    monkeypatch.setattr(lifecycle, "_LOCK", tmp_path / "lock")
    for name in ("DATA", "RUNTIME", "STACKS"):
        folder = tmp_path / name.lower()
        monkeypatch.setattr(lifecycle, name, folder)
        folder.mkdir()
    monkeypatch.setattr(namespace, "find", lambda: None)
    monkeypatch.setattr(parts, "services", lambda _: [service("etcd"), service("kubelet")])
    return done


def service(name: str, *arguments: str) -> Service:
    return Service(name=name, command=["true", *arguments])


def test_from_nothing_everything_is_made_before_the_node_starts(
    steps: list[tuple[str, ...]],
) -> None:
    lifecycle.up(lambda _: None)

    assert steps == [
        ("doctor.require",),
        ("lifecycle.prepare",),
        ("provider_plugins.install",),
        ("lifecycle.discard_scratch",),
        ("certificates.ensure",),
        ("kubeconfig.write_all",),
        ("configuration.write_all",),
        ("namespace.start",),
        ("health.wait",),
        ("addons.install",),
        # Variables say whether stand-ins are in use.
        ("environment.write",),
    ]
    assert services.names() == ["etcd", "kubelet"]


def test_an_unfit_machine_is_not_changed(
    steps: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PlatformError("no")

    monkeypatch.setattr(doctor, "require", refuse)

    with pytest.raises(PlatformError):
        lifecycle.up(lambda _: None)

    assert steps == []
    assert services.names() == []


def test_on_a_running_node_only_what_changed_is_started_again(
    steps: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle.up(lambda _: None)
    steps.clear()
    monkeypatch.setattr(namespace, "find", object)
    monkeypatch.setattr(
        parts, "services", lambda _: [service("etcd"), service("kubelet", "--changed")]
    )
    said: list[str] = []

    lifecycle.up(said.append)

    assert ("namespace.start",) not in steps
    assert [step for step in steps if step[0].startswith("services.")] == [
        ("services.start", "etcd"),
        ("services.restart", "kubelet"),
    ]
    assert "starting kubelet again: what it reads or runs has changed" in said


def test_a_part_of_an_older_version_is_ended_and_removed(
    steps: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.write(service("obsolete"))
    monkeypatch.setattr(namespace, "find", object)

    lifecycle.up(lambda _: None)

    assert ("services.stop", "obsolete") in steps
    assert services.names() == ["etcd", "kubelet"]


def test_down_keeps_the_data(steps: list[tuple[str, ...]], tmp_path: Path) -> None:
    lifecycle.down(lambda _: None)

    assert steps == [("namespace.stop",)]
    assert not (tmp_path / "runtime").exists()
    assert (tmp_path / "data").exists()


def test_down_with_purge_deletes_the_data_and_says_so(
    steps: list[tuple[str, ...]], tmp_path: Path
) -> None:
    (tmp_path / "data" / "volumes" / "deep").mkdir(parents=True)
    said: list[str] = []

    lifecycle.down(said.append, purge=True)

    assert said == [f"deleting {tmp_path}/data"]
    assert not (tmp_path / "data").exists()


def test_data_that_cannot_be_deleted_are_an_error(
    steps: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "volumes").mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)

    with pytest.raises(PlatformError, match="data/volumes could not be deleted"):
        lifecycle.down(lambda _: None, purge=True)


def test_down_keeps_what_the_platform_did_not_make(
    steps: list[tuple[str, ...]], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in (elsewhere / "theirs", tmp_path / "runtime" / "their.sock"):
        file.touch()
    (tmp_path / "data" / "volumes").symlink_to(elsewhere)
    (tmp_path / "data" / ".kubeconfig").touch()
    release = tmp_path / "data" / "weights" / "triton-model-store"
    release.mkdir(parents=True)
    said: list[str] = []

    lifecycle.down(said.append, purge=True)

    assert said == [
        f"kept in {tmp_path}/runtime, because the platform did not make it: their.sock",
        f"deleting {tmp_path}/data",
        f"kept in {tmp_path}/data, because the platform did not make it: weights",
    ]
    assert release.is_dir()
    assert (elsewhere / "theirs").exists(), "a link goes without what it leads to"
    assert (tmp_path / "runtime" / "their.sock").exists()


def test_nothing_is_deleted_below_which_something_is_mounted(
    steps: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "data" / "volumes" / "one"
    mounted.mkdir(parents=True)
    partition = types.SimpleNamespace(mountpoint=str(mounted))
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [partition])

    with pytest.raises(PlatformError, match=rf"{mounted} is mounted, .* Unmount it"):
        lifecycle.down(lambda _: None, purge=True)

    assert mounted.is_dir()


def test_every_place_that_the_code_names_goes_with_the_rest() -> None:
    code = "".join(file.read_text() for file in (ROOT / "local_platform").rglob("*.py"))
    code += (ROOT / "Makefile").read_text()
    in_data = set(re.findall(r'\bDATA(?: / ["\']|}/)([\w.-]+)|:= /var/lib/ft-serving/(\w+)', code))
    in_runtime = set(re.findall(r'\bRUNTIME(?: / ["\']|}/)([\w.-]+)', code))
    assert {name for pair in in_data for name in pair if name} == DATA_NAMES
    assert in_runtime == RUNTIME_NAMES


def test_the_second_of_two_waits_for_the_first_and_says_so(
    steps: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        at_work.set()
        go_on.wait(20)
        steps.append(("slow",))

    monkeypatch.setattr(doctor, "require", slow)
    first = threading.Thread(target=lifecycle.up, args=(lambda _: None,))
    first.start()
    at_work.wait(20)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        go_on.set()

    lifecycle.down(say)

    first.join()
    assert said == ["Another `up` or `down` is at work on this machine; waiting for it."]
    assert steps[-2:] == [("environment.write",), ("namespace.stop",)], "one after the other"


def test_after_an_error_the_next_need_not_wait(
    steps: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PlatformError("no")

    with monkeypatch.context() as patched:
        patched.setattr(doctor, "require", refuse)
        with pytest.raises(PlatformError):
            lifecycle.up(lambda _: None)
    said: list[str] = []

    lifecycle.down(said.append)

    assert said == []


def test_without_rights_the_lock_says_that_root_is_needed(
    steps: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_LOCK", tmp_path / "missing" / "lock")
    (tmp_path / "missing").touch()

    with pytest.raises(PlatformError, match="The platform needs root"):
        lifecycle.up(lambda _: None)
