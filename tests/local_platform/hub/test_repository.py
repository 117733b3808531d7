import os
import shutil
from pathlib import Path

import pytest

from local_platform.errors import FileChangedError, PlatformError, RefusedRequestError
from local_platform.hub import digests, repository
from local_platform.hub.repository import Catalogue, content_id

HELLO_SHA256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
CONFIG_SHA256 = "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as long unchanged."""
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)


def test_the_commit_is_what_its_rule_says() -> None:
    # printf 'config.json\0003\000%s\nonnx/model.bin\0006\000%s\n…' … | sha256sum | cut -c-40
    files = [
        ("vocab.txt", 6, HELLO_SHA256),
        ("config.json", 3, CONFIG_SHA256),
        ("onnx/model.bin", 6, HELLO_SHA256),
    ]
    assert content_id(files) == "772061b1e326c92f7ad280bf21cd123e72cb012d"


def test_the_commit_depends_on_content_alone(tmp_path: Path) -> None:
    for name in ("one/m", "two/m"):
        (tmp_path / name).mkdir(parents=True)
    for path in ("config.json", "b.txt", "é.txt", "z.txt"):
        (tmp_path / "one/m" / path).write_text(path)
    for path in ("z.txt", "é.txt", "config.json", "b.txt"):
        (tmp_path / "two/m" / path).write_text(path)
        os.utime(tmp_path / "two/m" / path, ns=(1, 1))
    one, two = (Catalogue(tmp_path / name).snapshot("m") for name in ("one", "two"))
    assert one.commit == two.commit, "the same model must have the same commit on every machine"
    assert list(one.files) == ["b.txt", "config.json", "z.txt", "é.txt"]


def test_a_small_file_has_its_git_blob_id_and_its_sha256(root: Path) -> None:
    file = Catalogue(root).snapshot("tiny-gptj").files["vocab.txt"]
    assert file.size == 6
    assert file.digests.sha256 == HELLO_SHA256
    assert file.digests.blob_id == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert file.digests.pointer_size is None
    assert file.etag == file.digests.blob_id


def test_a_weights_file_is_in_git_lfs_at_any_size(root: Path) -> None:
    file = Catalogue(root).snapshot("tiny-gptj").files["onnx/model.bin"]
    assert file.digests.sha256 == HELLO_SHA256
    assert file.digests.pointer_size == 126
    assert file.digests.blob_id == "fa61e1ef71c9908c0926776a4aa3504b3a27f159", (
        "the hub's blob of a file in Git LFS is its pointer"
    )
    assert file.etag == HELLO_SHA256


def test_a_file_over_ten_mebibytes_is_in_git_lfs(root: Path) -> None:
    for name, size in (("at.json", 10 * 1024**2), ("over.json", 10 * 1024**2 + 1)):
        with (root / "tiny-gptj" / name).open("wb") as file:
            file.truncate(size)
    files = Catalogue(root).snapshot("tiny-gptj").files
    assert files["at.json"].digests.pointer_size is None
    assert files["over.json"].digests.pointer_size is not None


def test_models_are_found_at_one_level_and_at_two(root: Path) -> None:
    assert Catalogue(root).repo_ids() == ["EleutherAI/gpt-j-6b", "tiny-gptj"]


def test_a_folder_inside_of_a_model_is_no_model(root: Path) -> None:
    (root / "tiny-gptj/onnx/config.json").write_text("{}")
    assert "tiny-gptj/onnx" not in Catalogue(root).repo_ids()


def test_a_folder_that_may_not_be_looked_into_is_passed_over(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "lost+found").mkdir()
    (root / "lost+found/config.json").write_text("{}")
    is_file = Path.is_file

    def guarded(path: Path) -> bool:
        if "lost+found" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", guarded)
    assert Catalogue(root).repo_ids() == ["EleutherAI/gpt-j-6b", "tiny-gptj"]


def test_hidden_names_and_byte_code_are_not_served(root: Path) -> None:
    before = Catalogue(root).snapshot("tiny-gptj")
    for path in (".git/config", "onnx/.cache/x", "__pycache__/train.pyc", ".env", "tab\there"):
        file = root / "tiny-gptj" / path
        file.parent.mkdir(exist_ok=True)
        file.write_text("secret")
    (root / ".hidden").mkdir()
    (root / ".hidden/config.json").write_text("{}")
    catalogue = Catalogue(root)
    assert catalogue.snapshot("tiny-gptj") == before
    assert catalogue.repo_ids() == ["EleutherAI/gpt-j-6b", "tiny-gptj"]


def test_a_link_to_a_file_inside_the_root_is_served_as_that_file(root: Path) -> None:
    (root / "EleutherAI/gpt-j-6b/vocab.txt").symlink_to("../../tiny-gptj/vocab.txt")
    file = Catalogue(root).snapshot("EleutherAI/gpt-j-6b").files["vocab.txt"]
    assert file.digests.sha256 == HELLO_SHA256


def test_a_link_that_leads_elsewhere_is_not_served(root: Path, tmp_path: Path) -> None:
    model = root / "tiny-gptj"
    before = Catalogue(root).snapshot("tiny-gptj").commit
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/config.json").write_text("{}")
    (root / ".hidden").write_text("secret")
    (model / "relative").symlink_to("../../secret")
    (model / "absolute").symlink_to(tmp_path / "secret")
    (model / "chained").symlink_to("relative")
    (model / "hidden").symlink_to("../.hidden")
    (model / "folder").symlink_to("onnx")
    (model / "up").symlink_to("..")
    (model / "dangling").symlink_to("nowhere")
    (model / "circle").symlink_to("circle")
    (root / "linked-model").symlink_to(tmp_path / "outside")
    os.mkfifo(model / "fifo")
    catalogue = Catalogue(root)
    assert catalogue.snapshot("tiny-gptj").commit == before
    assert catalogue.repo_ids() == ["EleutherAI/gpt-j-6b", "tiny-gptj"]


def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_followed(
    root: Path, tmp_path: Path
) -> None:
    catalogue = Catalogue(root)
    file = catalogue.snapshot("tiny-gptj").files["vocab.txt"]
    (tmp_path / "secret").write_text("secret")
    (root / "tiny-gptj/vocab.txt").unlink()
    (root / "tiny-gptj/vocab.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(FileChangedError):
        digests.open_version(file.location, file.version)


def test_main_and_the_commit_are_the_only_revisions(root: Path) -> None:
    catalogue = Catalogue(root)
    snapshot = catalogue.snapshot("tiny-gptj")
    assert catalogue.snapshot("tiny-gptj", snapshot.commit) == snapshot
    for revision in ("v1", "", "HEAD", snapshot.commit[:7], snapshot.commit.upper(), "0" * 40):
        with pytest.raises(RefusedRequestError, match=snapshot.commit):
            catalogue.snapshot("tiny-gptj", revision)


@pytest.mark.parametrize("name", ["", ".", "..", "tiny", "EleutherAI", "../models/tiny-gptj"])
def test_an_unknown_model_is_refused(root: Path, name: str) -> None:
    with pytest.raises(RefusedRequestError, match="no model"):
        Catalogue(root).snapshot(name)


@pytest.mark.usefixtures("settled")
def test_a_settled_file_is_digested_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue(root)
    first = catalogue.snapshot("tiny-gptj")
    monkeypatch.setattr(digests, "_compute", None)
    assert catalogue.snapshot("tiny-gptj") == first


def test_a_file_that_was_just_written_is_digested_again(root: Path) -> None:
    cache = digests.DigestCache()
    path = root / "tiny-gptj/vocab.txt"
    version = digests.FileVersion.of(path.stat())
    path.write_text("other\n")
    with pytest.raises(FileChangedError):
        cache.digests(str(path), version, lfs=False)
    version = digests.FileVersion.of(path.stat())
    cache.digests(str(path), version, lfs=False)
    (slot,) = cache._slots.values()
    assert slot.digests is None, (
        "a write in the same tick of the clock would leave the version, and the digest, as it was"
    )


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
    after = catalogue.snapshot("tiny-gptj")
    assert after.commit != before.commit
    with pytest.raises(RefusedRequestError, match="has no revision"):
        catalogue.snapshot("tiny-gptj", before.commit)


def test_added_and_removed_files_change_the_commit(root: Path) -> None:
    catalogue = Catalogue(root)
    first = catalogue.snapshot("tiny-gptj").commit
    (root / "tiny-gptj/new.txt").write_text("new")
    second = catalogue.snapshot("tiny-gptj").commit
    (root / "tiny-gptj/new.txt").unlink()
    assert second != first
    assert catalogue.snapshot("tiny-gptj").commit == first


def test_a_model_that_is_removed_is_gone(root: Path) -> None:
    catalogue = Catalogue(root)
    shutil.rmtree(root / "tiny-gptj")
    with pytest.raises(RefusedRequestError, match="no model"):
        catalogue.snapshot("tiny-gptj")


def test_a_file_that_changes_once_while_it_is_opened_is_opened_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalogue(root)
    opened = digests.open_version
    calls = []

    def changing(location: str, version: digests.FileVersion) -> object:
        calls.append(location)
        if len(calls) == 1:
            Path(location).write_text("other\n")
        return opened(location, version)

    monkeypatch.setattr(repository, "open_version", changing)
    snapshot, file, stream = catalogue.open("tiny-gptj", "main", "vocab.txt")
    with stream:
        assert stream.read() == b"other\n"
    assert len(calls) == 2
    assert snapshot.files["vocab.txt"] == file
    assert snapshot.commit == catalogue.snapshot("tiny-gptj").commit, (
        "bytes must be told under the commit that they belong to"
    )


def test_a_folder_that_vanishes_while_it_is_read_is_read_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalogue(root)
    scandir = os.scandir

    def vanishing(folder: str | Path) -> object:
        if Path(folder).name == "notes":
            (Path(folder) / "empty.txt").unlink()
            Path(folder).rmdir()
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert "onnx/notes/empty.txt" not in catalogue.snapshot("tiny-gptj").files


def test_a_file_that_never_rests_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changing(location: str, version: digests.FileVersion) -> object:
        raise FileChangedError(location)

    monkeypatch.setattr(repository, "open_version", changing)
    with pytest.raises(RefusedRequestError, match="tiny-gptj: its files are being written"):
        Catalogue(root).open("tiny-gptj", "main", "vocab.txt")


def test_a_file_that_cannot_be_read_is_told_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(location: str, version: digests.FileVersion) -> object:
        raise PermissionError(13, "Permission denied", location)

    monkeypatch.setattr(repository, "open_version", failing)
    with pytest.raises(
        RefusedRequestError, match=r"tiny-gptj: vocab\.txt cannot be read: Permission"
    ):
        Catalogue(root).open("tiny-gptj", "main", "vocab.txt")


@pytest.mark.parametrize("path", ["", "/", "onnx", "../tiny-gptj/vocab.txt", "./vocab.txt", "x\0"])
def test_only_the_path_of_a_file_opens_one(root: Path, path: str) -> None:
    with pytest.raises(RefusedRequestError, match="has no file"):
        Catalogue(root).open("tiny-gptj", "main", path)


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="nowhere: No such file or directory"):
        Catalogue(tmp_path / "nowhere")


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match="file: Not a directory"):
        Catalogue(tmp_path / "file")


def test_a_root_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"holds no model; a model is a folder with a config"):
        Catalogue(tmp_path)


def test_a_root_that_is_a_model_is_refused_with_a_hint(root: Path) -> None:
    shutil.rmtree(root / "tiny-gptj/onnx")
    with pytest.raises(PlatformError, match="give the folder above it"):
        Catalogue(root / "tiny-gptj")
