"""The variables and tools by which a shell finds the platform."""

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


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in TOOLS:
        if not (folder / name).exists():
            (folder / name).write_text(str(folder / name))
            (folder / name).chmod(0o755)
    environment.write(Toolchain(folders={}, tools={name: folder / name for name in TOOLS}))


def test_a_shell_that_reads_the_file_has_the_variables_and_the_tools_first(
    data: Path, tmp_path: Path
) -> None:
    write(tmp_path / "tools")
    passphrase = (data / "passphrase").read_text()
    write(tmp_path / "newer")

    said = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", '. "$0"; env', str(data / "env")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    found = dict(line.split("=", 1) for line in said.splitlines())
    assert found["PATH"] == f"{data}/bin:/usr/bin:/bin"
    assert found["DOCKER_HOST"] == "unix:///run/ft-serving/docker.sock"
    assert environment.variables().items() <= found.items()
    assert len(passphrase) == 32
    assert (data / "passphrase").read_text() == passphrase, "stacks could not be read with another"
    assert (data / "passphrase").stat().st_mode & 0o777 == 0o600
    for name in TOOLS:
        program = data / "bin" / name
        assert not program.is_symlink(), "Pulumi looks for its language host behind links"
        assert program.read_text() == str(tmp_path / "newer" / name)
        assert os.access(program, os.X_OK)
