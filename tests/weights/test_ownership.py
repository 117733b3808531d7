"""Files that someone else put into a storage are never deleted."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ft_serving.core.manifest import MANIFEST_PATH
from ft_serving.core.ownership import MARK, NOT_OURS, delete
from ft_serving.weights.inventory import list_releases, prune
from tests.weights.world import World


def pruned(world: World) -> dict[str, str | None]:
    """Delete all that may be; return by name why something was kept."""
    return {decision.name: decision.kept_because for decision in prune(world.storage, (), 0)}


def fill(folder: Path, name: str) -> Path:
    """Write someone's file, long ago; return it."""
    file = folder / name
    file.parent.mkdir(parents=True)
    file.write_text("theirs")
    for path in (file, file.parent, folder):
        os.utime(path, (1, 1))
    return file


def test_what_lies_beside_the_releases_is_kept_and_told(world: World) -> None:
    name = world.prepare().folder.name
    store = world.storage.releases
    theirs = {
        "fastertransformer": fill(store / "fastertransformer", "1/model.wte.bin"),
        "my-bert": fill(store / "my-bert", "1/model.onnx"),
        f".staging-{name}-0123abcd": fill(store / f".staging-{name}-0123abcd", "1/model.wte.bin"),
        # As a hub's cache has it, where the storage's `models` is one.
        f"models/models--a--b/snapshots/{'c' * 40}": fill(
            world.storage.root / "models" / "models--a--b" / "snapshots" / ("c" * 40), "x/w.bin"
        ),
    }
    (store / "empty").mkdir()
    assert pruned(world) == {name: None, "empty": NOT_OURS} | dict.fromkeys(theirs, NOT_OURS)
    assert {file.read_text() for file in theirs.values()} == {"theirs"}
    assert (store / "empty").is_dir()
    assert list_releases(world.storage) == []


def test_a_copy_under_another_name_and_a_link_are_their_user_s(
    world: World, tmp_path: Path
) -> None:
    release = world.prepare().folder
    shutil.copytree(release, release.with_name("before-the-change"))
    elsewhere = tmp_path / "other-disk" / release.name
    elsewhere.parent.mkdir()
    release.rename(elsewhere)
    release.symlink_to(elsewhere)
    assert pruned(world) == {
        "before-the-change": f"ft-serving made it as {release.name}",
        release.name: "it is a link, which ft-serving does not make",
    }
    assert release.is_symlink()
    assert (elsewhere / MANIFEST_PATH).exists()


@pytest.mark.parametrize(
    "name", ["preprocessing/1/model.py", "fastertransformer/1/model.extra.bin"]
)
def test_a_release_with_files_of_someone_else_is_kept(world: World, name: str) -> None:
    release = world.prepare().folder
    file = release / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("theirs")
    assert pruned(world) == {release.name: f"it holds {name}, which ft-serving did not put there"}
    assert file.exists()
    assert (release / MANIFEST_PATH).exists()


@pytest.mark.parametrize("lost", [MANIFEST_PATH, MARK])
def test_a_release_is_known_by_its_mark_or_by_its_manifest(world: World, lost: str) -> None:
    release = world.prepare().folder
    document = json.loads((release / MANIFEST_PATH).read_text())
    (release / MANIFEST_PATH).write_text(json.dumps({**document, "manifest_version": 0}))
    (release / lost).unlink()
    assert pruned(world) == {release.name: None}
    assert not release.exists()


@pytest.mark.parametrize("marked", [True, False])
def test_a_deletion_that_is_cut_short_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    release = world.prepare().folder
    if not marked:
        (release / MARK).unlink()

    def killed(path: Path, **_: Any) -> None:
        (path / "1" / "manifest.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            pruned(world)
    assert [name for name, _ in world.storage.leftovers()] == [release.name]
    assert pruned(world) == {}
    assert world.storage.leftovers() == []


@pytest.mark.parametrize("content", ["", "[]", '{"made_by": "others"}', "[" * 100_000])
def test_a_mark_that_is_not_this_program_s_proves_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / MARK).write_text(content)
    (tmp_path / "file").write_text("theirs")
    assert delete(tmp_path, "it") == NOT_OURS
    assert (tmp_path / "file").exists()


def test_what_cannot_be_looked_into_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()

    def forbidden(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(PermissionError):
        delete(tmp_path, "it")
