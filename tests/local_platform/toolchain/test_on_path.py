"""A tool that the machine has is taken in the pinned version only."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from local_platform.toolchain import on_path
from local_platform.toolchain.errors import ToolchainMissingError
from local_platform.toolchain.groups import Group
from local_platform.toolchain.store import find
from tests.local_platform.toolchain.conftest import taken


@pytest.fixture(autouse=True)
def hello_tells_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_path, "VERSION_COMMANDS", {"hello": ("tell", "--version")})


@pytest.fixture
def bin_folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def put(folder: Path, script: str) -> Path:
    program = folder / "hello"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("output", ["v1.2.3", "hello 1.2.3", "Client: v1.2.3\nLibrary: 9.9.9"])
def test_the_pinned_version_is_taken(bin_folder: Path, group: Group, output: str) -> None:
    program = put(bin_folder, f'test "$*" = "tell --version" && echo "{output}"')
    toolchain = find([group])
    assert toolchain.tools == {"hello": program}
    assert toolchain.folders == {}


@pytest.mark.parametrize(
    "script",
    [
        "echo v1.2.4",
        "echo v1.2.30",
        "echo v11.2.3",
        "echo v1.2.3-rc.1",
        "echo v1.2.3+k3s1",
        "echo Library: 9.9.9; echo Client: v1.2.3",
        "echo dev",
        "echo v1.2.3; exit 1",
        "echo v1.2.3 >&2",
    ],
)
def test_anything_else_is_not(bin_folder: Path, group: Group, script: str) -> None:
    put(bin_folder, script)
    with pytest.raises(ToolchainMissingError, match="tiny"):
        find([group])


def test_a_group_that_is_more_than_tools_is_built(bin_folder: Path, group: Group) -> None:
    put(bin_folder, "echo v1.2.3")
    with pytest.raises(ToolchainMissingError):
        find([replace(group, copied=(taken("config", "manifests"),))])


def test_a_tool_that_cannot_tell_its_version_is_built(
    bin_folder: Path, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bin_folder, "echo v1.2.3")
    monkeypatch.setattr(on_path, "VERSION_COMMANDS", {})
    with pytest.raises(ToolchainMissingError):
        find([group])


def test_all_that_is_missing_is_told_at_once(home: Path, group: Group) -> None:
    shutil.copytree(group.modules / "tiny", group.modules / "other")
    with pytest.raises(ToolchainMissingError) as caught:
        find([group, replace(group, name="other")])
    assert caught.value.groups == ("tiny", "other")
    assert "tiny, other; run `python -m local_platform.toolchain`" in str(caught.value)
