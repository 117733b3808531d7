"""What a shell reads to find the platform."""

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
    return Toolchain(folders={}, tools={name: folder / name for name in TOOLS})


def test_a_shell_that_reads_the_file_has_the_variables_and_the_tools_first(data: Path) -> None:
    environment.write(toolchain(Path("/tools")))

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
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def test_beside_stand_ins_pulumi_does_not_look_for_plugins(data: Path) -> None:
    name = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"
    assert name not in environment.variables()
    (data / "bin").mkdir(parents=True)
    (data / "bin" / "pulumi-resource-docker").touch()

    assert environment.variables()[name] == "true"


def test_tools_that_moved_are_linked_anew(data: Path) -> None:
    environment.write(toolchain(Path("/tools")))
    environment.write(toolchain(Path("/newer")))

    links = {path.name: path.readlink() for path in (data / "bin").iterdir()}
    assert links == {name: Path("/newer") / name for name in TOOLS} | {
        "docker": Path("/usr/bin/docker")
    }


def test_the_passphrase_is_made_once_and_for_its_owner_alone(data: Path) -> None:
    environment.write(toolchain(Path("/tools")))
    passphrase = data / "passphrase"
    first = passphrase.read_text()
    assert len(first) == 32
    assert passphrase.stat().st_mode & 0o777 == 0o600

    environment.write(toolchain(Path("/tools")))

    assert passphrase.read_text() == first, "secrets of stacks could not be read with another"
