"""Models on disk: their files, digests and commits."""

import os
import shutil
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from local_platform.errors import PlatformError
from local_platform.hub import repository
from local_platform.hub.repository import Catalogue
from tests.local_platform.hub.conftest import HELLO_BLOB, HELLO_SHA256

NAMES = ["EleutherAI/gpt-j-6b", "tiny-gptj"]


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as long unchanged."""
    monkeypatch.setattr(repository, "_SETTLED_NS", -1)


def test_the_commit_is_the_hash_of_paths_sizes_and_digests(root: Path) -> None:
    (root / "tiny-gptj/model.safetensors").unlink()
    shutil.rmtree(root / "tiny-gptj/onnx/notes")
    # for f in config.json onnx/model.bin vocab.txt; do
    #   printf '%s\0%s\0%s\n' $f $(stat -c %s $f) $(sha256sum < $f | cut -c-64); done | sha256sum
    commit = Catalogue(root).snapshot("tiny-gptj").commit
    assert commit == "772061b1e326c92f7ad280bf21cd123e72cb012d"


def test_files_have_the_digests_of_git_and_of_git_lfs(root: Path) -> None:
    for name, size in (("at.json", 10 * 1024**2), ("over.json", 10 * 1024**2 + 1)):
        with (root / "tiny-gptj" / name).open("wb") as file:
            file.truncate(size)
    files = Catalogue(root).snapshot("tiny-gptj").files
    vocab, weights = files["vocab.txt"], files["onnx/model.bin"]
    assert (vocab.size, vocab.sha256, vocab.blob_id) == (6, HELLO_SHA256, HELLO_BLOB)
    assert (vocab.pointer_size, vocab.etag) == (None, HELLO_BLOB)
    assert (weights.sha256, weights.pointer_size, weights.etag) == (HELLO_SHA256, 126, HELLO_SHA256)
    assert weights.blob_id == "fa61e1ef71c9908c0926776a4aa3504b3a27f159", (
        "the hub's blob of a file in Git LFS is its pointer"
    )
    assert files["at.json"].pointer_size is None
    assert files["over.json"].pointer_size is not None


def test_models_are_found_at_one_level_and_at_two(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "tiny-gptj/onnx/config.json").write_text("{}")
    (root / "lost+found").mkdir()
    is_file = Path.is_file

    def guarded(path: Path) -> bool:
        if "lost+found" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", guarded)
    assert Catalogue(root).repo_ids() == NAMES


def test_hidden_names_and_links_are_not_served(root: Path, tmp_path: Path) -> None:
    model = root / "tiny-gptj"
    before = Catalogue(root).snapshot("tiny-gptj").commit
    for path in (".git/config", "onnx/.cache/x", "__pycache__/train.pyc", ".env", "tab\there"):
        (model / path).parent.mkdir(exist_ok=True)
        (model / path).write_text("secret")
    for folder in (root / ".hidden", tmp_path / "outside"):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    (model / "relative").symlink_to("../../outside/config.json")
    (model / "absolute").symlink_to(tmp_path / "outside/config.json")
    (model / "inside").symlink_to("vocab.txt")
    (model / "folder").symlink_to("onnx")
    (model / "up").symlink_to("..")
    (root / "linked-model").symlink_to(tmp_path / "outside")
    os.mkfifo(model / "fifo")
    catalogue = Catalogue(root)
    assert catalogue.snapshot("tiny-gptj").commit == before
    assert catalogue.repo_ids() == NAMES


@pytest.mark.usefixtures("settled")
def test_a_settled_file_is_digested_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue(root)
    first = catalogue.snapshot("tiny-gptj")
    monkeypatch.setattr(repository, "_digested", None)
    assert catalogue.snapshot("tiny-gptj") == first


def test_a_file_that_was_just_written_is_digested_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalogue(root)
    catalogue.snapshot("EleutherAI/gpt-j-6b")

    def digested(*_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied", str(root / "config.json"))

    # A write in the same tick of the clock would leave the version, and the digest, as it was.
    monkeypatch.setattr(repository, "_digested", digested)
    with pytest.raises(PlatformError, match=r"config\.json cannot be read: Permission"):
        catalogue.snapshot("EleutherAI/gpt-j-6b")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("name", ["vocab.txt", "model.safetensors"])
def test_a_changed_file_changes_the_commit_though_its_size_and_time_stay(
    root: Path, name: str
) -> None:
    catalogue = Catalogue(root)
    before = catalogue.snapshot("tiny-gptj")
    file = root / "tiny-gptj" / name
    status = file.stat()
    with file.open("r+b") as stream:
        stream.write(b"H")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert catalogue.snapshot("tiny-gptj").commit != before.commit
    with pytest.raises(HTTPException, match="has no revision"):
        catalogue.snapshot("tiny-gptj", before.commit)


def test_a_root_that_holds_no_model_is_refused_with_a_hint(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "tiny-gptj/onnx")
    (tmp_path / "empty").mkdir()
    for wrong, message in (
        (tmp_path / "nowhere", "nowhere: No such file or directory; give a folder"),
        (root / "tiny-gptj/config.json", "config.json: Not a directory"),
        (tmp_path / "empty", "holds no model; a model is a folder with a config"),
        (root / "tiny-gptj", "give the folder above it"),
    ):
        with pytest.raises(PlatformError, match=message):
            Catalogue(wrong)
