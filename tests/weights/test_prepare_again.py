"""Releases that are there already, and damaged, moved or of another version."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ft_serving.core.errors import FtServingError, ReleaseError
from ft_serving.core.manifest import Manifest, read_manifest
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.core.verify import check_content, check_sizes
from ft_serving.weights.config_pbtxt import check_place
from ft_serving.weights.prepare import Outcome, Prepared
from tests.weights.world import World


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that no test may change."""
    return World(tmp_path_factory.mktemp("once")).prepare().folder


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damaged_weights_are_not_shared(world: World) -> None:
    first = world.prepare()
    flip_a_byte(first.folder / "fastertransformer/1/model.wte.bin")
    second = world.prepare(streaming=True)
    assert second.outcome is Outcome.CONVERTED
    assert check_content(second.folder, Progress(world.said)) == []


def test_damage_is_named_and_the_release_made_again(world: World) -> None:
    folder = world.prepare().folder
    weights = folder / "fastertransformer/1"
    flip_a_byte(weights / "model.wte.bin")
    assert check_sizes(folder) == []
    (problem,) = check_content(folder, Progress(world.said))
    assert problem.startswith("fastertransformer/1/model.wte.bin: has sha256 ")
    flip_a_byte(weights / "config.ini")
    flip_a_byte(folder / "fastertransformer/config.pbtxt")
    (weights / "model.lm_head.bias.bin").unlink()
    (weights / "model.extra.bin").touch()
    assert [problem.split(" ")[:3] for problem in check_sizes(folder)] == [
        ["fastertransformer/1/config.ini:", "has", "sha256"],
        ["fastertransformer/1/model.extra.bin:", "is", "not"],
        ["fastertransformer/1/model.lm_head.bias.bin:", "cannot", "be"],
        ["fastertransformer/config.pbtxt:", "has", "sha256"],
    ]
    (weights / "model.extra.bin").unlink()
    assert world.prepare().outcome is Outcome.CONVERTED, "a server would refuse it"
    assert check_content(folder, Progress(world.said)) == []


def test_a_release_that_is_deleted_while_it_is_checked_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.prepare()

    def check_and_delete(*args: Any) -> list[str]:
        problems = check_content(*args)
        world.storage.delete_release(first.manifest.spec.name)
        return problems

    monkeypatch.setattr("ft_serving.weights.prepare.check_content", check_and_delete)
    assert world.prepare().outcome is Outcome.CONVERTED
    assert check_content(first.folder, Progress(world.said)) == []


def test_a_release_that_goes_away_while_it_is_checked_is_one_with_problems(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.prepare().folder

    def read_and_delete(release: Path) -> Manifest:
        manifest = read_manifest(release)
        shutil.rmtree(release)
        return manifest

    monkeypatch.setattr("ft_serving.core.verify.read_manifest", read_and_delete)
    assert "fastertransformer/1: cannot be read: No such file or directory" in check_sizes(folder)


def test_a_damaged_release_in_use_is_not_touched(world: World) -> None:
    first = world.prepare()
    flip_a_byte(first.folder / "fastertransformer/1/model.wte.bin")
    with world.storage.lease(first.manifest.spec.name):
        message = world.refused(ReleaseError)
    assert "model.wte.bin" in message
    assert "in use by process" in message


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"manifest_version": 2', '"manifest_version": 1'),
        lambda text: text.replace('"tensor_parallel": 2', '"tensor_parallel": 1'),
        lambda text: text.replace('"dtype": "fp16"', '"dtype": "fp8"'),
        lambda text: text.replace("fastertransformer/config.pbtxt", "../../config.pbtxt"),
        lambda text: text.replace("tiny-model-fp16", "renamed-fp16"),
        lambda text: json.dumps({**json.loads(text), "surprise": 1, "files": None}),
        lambda text: text.replace('"release":', '"released":'),
        lambda text: text.replace('"repository": "tiny-model"', '"repository": 5'),
        lambda text: json.dumps({**json.loads(text), "created": 5}),
        lambda text: text.replace("fastertransformer/config.pbtxt", "a\\u0000b"),
        lambda text: text.replace("fastertransformer/config.pbtxt", "a\\ud800b"),
        lambda text: json.dumps({**json.loads(text), "architecture": None}),
        lambda text: json.dumps({**json.loads(text), "source": [None]}),
    ],
    ids=[
        *("cut", "list", "older", "settings", "unknown-dtype", "outside", "renamed", "no-files"),
        *("no-release", "number-for-a-name", "number-for-a-date", "nul", "surrogate"),
        *("no-architecture", "no-source-file"),
    ],
)
def test_a_manifest_that_is_damaged_or_older_is_told(
    tmp_path: Path, prepared_once: Path, damage: Any
) -> None:
    folder = shutil.copytree(prepared_once, tmp_path / prepared_once.name)
    manifest = folder / "fastertransformer/1/manifest.json"
    manifest.write_text(damage(manifest.read_text()))
    with pytest.raises(ReleaseError, match=r"manifest\.json: .*[Pp]repare the release again"):
        check_sizes(folder)


def test_a_release_without_a_readable_manifest_is_made_again(world: World) -> None:
    folder = world.prepare().folder
    (folder / "fastertransformer/1/manifest.json").write_text("[]")
    assert world.prepare().outcome is Outcome.CONVERTED
    assert check_content(folder, Progress(world.said)) == []


def moved(world: World, tmp_path: Path) -> Prepared:
    """Prepare a release, and move its storage."""
    first = world.prepare()
    world.storage = Storage(world.storage.root.rename(tmp_path / "moved"))
    return first


def test_a_release_of_a_moved_storage_gets_a_config_for_its_new_path(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = moved(world, tmp_path)
    weights = "fastertransformer/1/model.wte.bin"

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("ft_serving.weights.prepare.flush", full)
        assert "is full" in world.refused(FtServingError)
    assert check_content(world.storage.release(first.folder.name), Progress(world.said)) == []
    before = (world.storage.release(first.folder.name) / weights).stat().st_ino
    second = world.prepare()
    assert second.outcome is Outcome.LINKED, "sound weights are not converted again"
    assert (second.folder / weights).stat().st_ino == before
    pbtxt = (second.folder / "fastertransformer/config.pbtxt").read_text()
    assert f'string_value: "{second.folder}/fastertransformer/1"' in pbtxt
    assert check_content(second.folder, Progress(world.said)) == []
    assert world.storage.leftovers() == []
    assert world.prepare().outcome is Outcome.FOUND


@pytest.mark.parametrize("spelling", ["link", "tiny-model/../storage"])
def test_another_spelling_of_the_storage_finds_the_release_though_it_is_in_use(
    world: World, tmp_path: Path, spelling: str
) -> None:
    first = world.prepare()
    (tmp_path / "link").symlink_to(world.storage.root)
    with world.storage.lease(first.manifest.spec.name):
        world.storage = Storage(tmp_path / spelling)
        second = world.prepare()
    assert second.outcome is Outcome.FOUND
    assert ".." not in second.folder.parts
    assert second.folder.samefile(first.folder)
    (tmp_path / "short").symlink_to(second.folder)
    for path in (tmp_path / "short", second.folder / "fastertransformer" / ".."):
        assert check_sizes(path) == []
        check_place(path)
    assert "damaged" not in world.said.getvalue()


def test_a_mount_of_the_storage_is_the_same_place(world: World, tmp_path: Path) -> None:
    folder = world.prepare().folder
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    script = f"mount --bind {world.storage.root} {mounted} && exec {sys.executable} -c '{VERIFY}' "
    there = mounted / folder.relative_to(world.storage.root)
    # In a mount namespace of its own, so that the mount goes when the process ends.
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c", script + str(there)]
    done = subprocess.run(unshare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


VERIFY = "import sys, pathlib, ft_serving.weights.config_pbtxt as it; "
VERIFY += "it.check_place(pathlib.Path(sys.argv[1]))"


def test_a_moved_release_is_not_called_damaged(world: World, tmp_path: Path) -> None:
    first = moved(world, tmp_path)
    with world.storage.lease(first.folder.name):
        message = world.refused(ReleaseError)
    assert message.startswith(f"Release {first.folder.name} is whole (")
    assert "in use by process" in message
    assert "damaged" not in message + world.said.getvalue()
    folder = world.storage.release(first.folder.name)
    assert check_content(folder, Progress(world.said)) == [], "it is not touched"


def test_a_folder_of_someone_else_in_the_release_s_place_is_kept(world: World) -> None:
    folder = world.storage.release(world.prepare().manifest.spec.name)
    (folder / "fastertransformer/1/model.wte.bin").unlink()
    (folder / "preprocessing").mkdir()
    (folder / "preprocessing" / "config.pbtxt").write_text("theirs")
    message = world.refused(ReleaseError)
    assert message.startswith(f"{folder}: it holds preprocessing/config.pbtxt, which ft-serving")
    assert message.endswith("Move it away, then prepare again.")
    assert (folder / "preprocessing" / "config.pbtxt").read_text() == "theirs"
