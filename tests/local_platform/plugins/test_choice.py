"""Which plugins programs run with."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local_platform import toolchain
from local_platform.errors import PlatformError
from local_platform.plugins import choice, launchers
from local_platform.toolchain import Toolchain

PULUMI = """#!/bin/sh
echo "$*" >> {calls}
case "$1 $2" in
"plugin ls") echo '{listed}' ;;
"plugin install") exit {install} ;;
*) exit 9 ;;
esac
"""

KUBERNETES = '{"name": "kubernetes", "kind": "resource", "version": "4.34.2"}'

FakePulumi = Callable[..., None]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """What the command-line tool was asked."""
    return tmp_path / "calls"


@pytest.fixture
def pulumi(tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch) -> FakePulumi:
    """Makes a command-line tool that has certain plugins, and can or cannot install others."""

    def make(*, listed: str = "[]", install: int = 1) -> None:
        tool = tmp_path / "pulumi"
        tool.write_text(PULUMI.format(calls=calls, listed=listed, install=install))
        tool.chmod(0o755)
        found = Toolchain(folders={}, tools={"pulumi": tool})
        monkeypatch.setattr(toolchain, "find", lambda: found)

    return make


def test_stand_ins_are_used_where_the_real_plugins_cannot_be_had(
    tmp_path: Path, pulumi: FakePulumi, calls: Path
) -> None:
    pulumi()
    said: list[str] = []
    folder = tmp_path / "bin"

    choice.install(folder, said.append)

    used = "docker 5.2.0 (stand-in, see ADR 4), kubernetes 4.34.2 (stand-in, see ADR 4)"
    assert said == [f"provider plugins: {used}"]
    assert os.access(folder / "pulumi-resource-kubernetes", os.X_OK)
    assert "plugin install resource kubernetes 4.34.2" in calls.read_text()


def test_a_download_that_failed_is_not_tried_again(
    tmp_path: Path, pulumi: FakePulumi, calls: Path
) -> None:
    pulumi()
    choice.install(tmp_path / "bin", print)
    calls.unlink()

    choice.install(tmp_path / "bin", print)

    assert "install" not in calls.read_text()


def test_a_plugin_that_is_installed_takes_the_stand_ins_place(
    tmp_path: Path, pulumi: FakePulumi
) -> None:
    folder = tmp_path / "bin"
    pulumi()
    choice.install(folder, print)
    pulumi(listed=f"[{KUBERNETES}]")

    choice.install(folder, print)

    assert not (folder / "pulumi-resource-kubernetes").exists(), "what is on PATH would come first"
    assert (folder / "pulumi-resource-docker").exists()
    assert choice.describe(folder) == (
        "docker 5.2.0 (stand-in, see ADR 4), kubernetes 4.34.2 (the real one)"
    )


def test_a_plugin_of_another_version_does_not_count(tmp_path: Path, pulumi: FakePulumi) -> None:
    pulumi(listed=f"[{KUBERNETES.replace('4.34.2', '4.0.0')}]")
    choice.install(tmp_path / "bin", print)
    assert (tmp_path / "bin" / "pulumi-resource-kubernetes").exists()


def test_a_plugin_that_can_be_downloaded_is(tmp_path: Path, pulumi: FakePulumi) -> None:
    pulumi(install=0)
    choice.install(tmp_path / "bin", print)
    assert not (tmp_path / "bin" / "pulumi-resource-kubernetes").exists()


def test_a_tool_that_does_not_work_is_an_error(tmp_path: Path, pulumi: FakePulumi) -> None:
    pulumi(listed="' ; exit 3 ; echo '")
    with pytest.raises(PlatformError, match="plugin ls"):
        choice.install(tmp_path / "bin", print)


def test_a_stand_in_starts_in_any_folder_and_says_its_port(tmp_path: Path) -> None:
    launchers.install(tmp_path / "bin", "kubernetes", Path(sys.executable))
    (tmp_path / "local_platform").mkdir()
    command = [str(tmp_path / "bin" / "pulumi-resource-kubernetes"), "127.0.0.1:1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"}
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.terminate()
    assert process.returncode == 0
