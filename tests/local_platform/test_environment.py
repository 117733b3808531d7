"""The files by which a shell finds the platform."""

from pathlib import Path

import pytest

from local_platform import environment
from local_platform.toolchain import Toolchain


def test_the_passphrase_of_stacks_stays_and_tools_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "BIN", tmp_path / "bin")
    monkeypatch.setattr(environment, "FILE", tmp_path / "env")
    monkeypatch.setattr(environment, "PASSPHRASE", tmp_path / "passphrase")
    passphrases = []
    for version in ("old", "newer"):
        program = tmp_path / version
        program.write_text(version)
        environment.write(Toolchain(folders={}, tools=dict.fromkeys(environment._TOOLS, program)))
        assert (tmp_path / "bin" / "pulumi").read_text() == version
        passphrases.append((tmp_path / "passphrase").read_text())
    assert len(passphrases[0]) == 32
    assert passphrases[0] == passphrases[1], "stacks could not be read with another"
    assert (tmp_path / "passphrase").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "bin" / "pulumi").is_symlink(), "Pulumi looks behind links"
