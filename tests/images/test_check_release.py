"""The check of a release before Triton starts, in the image for GPUs."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.dockerfile import IMAGES

PATH = "fastertransformer/1/model.wte.bin"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    weights = tmp_path / "fastertransformer/1"
    weights.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(b"weights")
    files = [{"path": PATH, "size": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}]
    (weights / "manifest.json").write_text(json.dumps({"files": files}))
    return tmp_path


def start(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(IMAGES / "server/check_release.py"), "/bin/echo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_whole_release_is_served(release: Path) -> None:
    done = start("--one", f"--model-repository={release}", "--other")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"--one --model-repository={release} --other\n"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"weightz", f"has sha256 {hashlib.sha256(b'weightz').hexdigest()}, must have "),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_an_altered_and_a_missing_file_are_named(
    release: Path, content: bytes | None, found: str
) -> None:
    (release / PATH).unlink()
    if content is not None:
        (release / PATH).write_bytes(content)
    done = start(f"--model-repository={release}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {release} is damaged: {PATH} {found}")


@pytest.mark.parametrize("manifest", [None, "{", "[]", "{}"])
def test_without_a_manifest_nothing_is_served(release: Path, manifest: str | None) -> None:
    file = release / "fastertransformer/1/manifest.json"
    file.unlink() if manifest is None else file.write_text(manifest)
    done = start(f"--model-repository={release}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "manifest.json cannot be read" in done.stderr


def test_the_release_has_to_be_named() -> None:
    assert start().stderr == "error: one --model-repository=RELEASE is needed\n"
