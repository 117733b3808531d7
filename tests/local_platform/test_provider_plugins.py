"""Provides Pulumi's plugins: the vendor's, the kubernetes plugin built here, docker's stand-in."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local_platform import environment, provider_plugins
from local_platform.toolchain import KUBERNETES_SDK, Toolchain

# Pulumi's command line as far as this module uses it.
PULUMI = """#!/bin/sh
echo "$*" >> {calls}
[ {install} -eq 0 ] && mkdir -p "$PULUMI_HOME/plugins/resource-$4-v$5"
exit {install}
"""

FakePulumi = Callable[[int], Toolchain]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The platform's PULUMI_HOME."""
    monkeypatch.setattr(environment, "PULUMI_HOME", tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """The file with the arguments of Pulumi's command line."""
    return tmp_path / "calls"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program of the kubernetes plugin, as if it were built."""
    program = tmp_path / "pulumi-resource-kubernetes"
    toolchain = Toolchain(folders={}, tools={program.name: program})
    monkeypatch.setattr(provider_plugins, "build_missing", lambda *_: toolchain)
    return program


@pytest.fixture
def pulumi(tmp_path: Path, calls: Path) -> FakePulumi:
    """Makes a command line that can (0) or cannot (1) download plugins."""

    def make(install: int) -> Toolchain:
        tool = tmp_path / "pulumi"
        tool.write_text(PULUMI.format(calls=calls, install=install))
        tool.chmod(0o755)
        return Toolchain(folders={}, tools={"pulumi": tool})

    return make


def plugin(home: Path, provider: str) -> Path:
    version = provider_plugins.VERSIONS[provider]
    return home / "plugins" / f"resource-{provider}-v{version}" / f"pulumi-resource-{provider}"


def test_without_a_download_one_is_built_and_one_is_a_stand_in(
    home: Path, pulumi: FakePulumi, built: Path, calls: Path
) -> None:
    said: list[str] = []

    provider_plugins.install(pulumi(1), said.append)

    used = f"kubernetes {KUBERNETES_SDK} (built from its source, see ADR 4)"
    assert said == [f"provider plugins: docker 5.2.0 (stand-in, see ADR 4), {used}"]
    assert str(built) in plugin(home, "kubernetes").read_text()
    assert f"plugin install resource kubernetes {KUBERNETES_SDK}" in calls.read_text()
    calls.unlink()
    provider_plugins.install(pulumi(1), print)
    assert not calls.exists(), "a download that failed is not tried again"


def test_a_stand_in_starts_in_any_folder_and_says_its_port(
    home: Path, pulumi: FakePulumi, built: Path, tmp_path: Path
) -> None:
    provider_plugins.install(pulumi(1), print)
    (tmp_path / "local_platform").mkdir()
    command = [str(plugin(home, "docker")), "127.0.0.1:1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"}
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.terminate()
    assert process.returncode == 0
    assert sys.executable in plugin(home, "docker").read_text()


def test_a_plugin_that_somebody_has_installed_stays(
    home: Path, pulumi: FakePulumi, built: Path
) -> None:
    own = plugin(home, "kubernetes")
    own.parent.mkdir(parents=True)
    own.write_text("the vendor's")
    provider_plugins.install(pulumi(1), print)
    assert own.read_text() == "the vendor's"
    assert f"kubernetes {KUBERNETES_SDK} (the vendor's)" in provider_plugins.describe()
