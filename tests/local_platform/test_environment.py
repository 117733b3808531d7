"""The variables and tools by which a shell finds the platform."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from local_platform import environment
from local_platform.toolchain import Toolchain

TOOLS = ("kubectl", "pulumi", "pulumi-language-python", "pulumi-language-python-exec")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The platform's folder, with a blank in its name."""
    data = tmp_path / "the data"
    monkeypatch.setattr(environment, "BIN", data / "bin")
    monkeypatch.setattr(environment, "FILE", data / "env")
    monkeypatch.setattr(environment, "PASSPHRASE", data / "passphrase")
    return data


def toolchain(folder: Path) -> Toolchain:
    folder.mkdir(exist_ok=True)
    for name in TOOLS:
        (folder / name).write_text(str(folder / name))
        (folder / name).chmod(0o755)
    return Toolchain(folders={}, tools={name: folder / name for name in TOOLS})


def test_a_shell_that_reads_the_file_has_the_variables_and_the_tools_first(
    data: Path, tmp_path: Path
) -> None:
    environment.write(toolchain(tmp_path / "tools"))

    said = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", '. "$0"; env', str(data / "env")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    found = dict(line.split("=", 1) for line in said.splitlines())
    assert found["PATH"] == f"{data}/bin:/usr/bin:/bin"
    assert {name: found[name] for name in environment.variables()} == {
        "DOCKER_HOST": "unix:///run/ft-serving/docker.sock",
        "HF_ENDPOINT": "http://127.0.0.1:8090",
        "KUBECONFIG": "/var/lib/ft-serving/kubeconfig",
        "PULUMI_BACKEND_URL": "file:///var/lib/ft-serving/stacks",
        "PULUMI_CONFIG_PASSPHRASE_FILE": f"{data}/passphrase",
        "PULUMI_HOME": "/var/lib/ft-serving/pulumi",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def test_the_language_host_lies_beside_pulumi_itself(data: Path, tmp_path: Path) -> None:
    environment.write(toolchain(tmp_path / "tools"))
    environment.write(toolchain(tmp_path / "newer"))

    for name in TOOLS:
        program = data / "bin" / name
        assert not program.is_symlink(), "Pulumi looks for it behind symbolic links"
        assert program.read_text() == str(tmp_path / "newer" / name)
        assert os.access(program, os.X_OK)


def test_on_another_volume_the_tools_are_copied_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_volume(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", other_volume)
    tools = toolchain(tmp_path / "tools")
    environment.write(tools)
    before = (data / "bin" / "pulumi").stat().st_ino
    environment.write(tools)
    assert (data / "bin" / "pulumi").stat().st_ino == before
    assert (data / "bin" / "pulumi").read_text() == str(tmp_path / "tools" / "pulumi")


def test_the_passphrase_is_made_once_and_only_its_owner_reads_it(
    data: Path, tmp_path: Path
) -> None:
    environment.write(toolchain(tmp_path / "tools"))
    passphrase = data / "passphrase"
    first = passphrase.read_text()
    assert len(first) == 32
    assert passphrase.stat().st_mode & 0o777 == 0o600

    environment.write(toolchain(tmp_path / "tools"))

    assert passphrase.read_text() == first, "secrets of stacks could not be read with another"
