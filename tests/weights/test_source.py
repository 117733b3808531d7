"""A folder given as a checkpoint: the hub's cache, its links, and what stands beside a model."""

import json
import shutil
from pathlib import Path

import pytest

from ft_serving.core.progress import Progress
from ft_serving.weights.errors import CheckpointError
from ft_serving.weights.source import LocalSource
from tests.weights.models import random_checkpoint
from tests.weights.world import World, ft_serving

COMMIT = "f2d8a4b1" * 5
ADAPTER = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "EleutherAI/gpt-j-6b"})


def cached(root: Path, *commits: str) -> Path:
    """Write a model's folder as it is in the hub's cache; return it."""
    folder = root / "hub" / "models--EleutherAI--gpt-j-6b"
    random_checkpoint(folder / "blobs")
    for commit in commits:
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for blob in (folder / "blobs").iterdir():
            (snapshot / blob.name).symlink_to(f"../../blobs/{blob.name}")
    return folder


@pytest.mark.parametrize("below", ["", f"snapshots/{COMMIT}"])
def test_a_release_of_the_hubs_cache_has_the_models_name(tmp_path: Path, below: str) -> None:
    folder, volume = cached(tmp_path, COMMIT) / below, tmp_path / "volume"
    done = ft_serving("prepare", "--repository", folder, "--storage", volume)
    assert Path(done.stdout).name.startswith("gpt-j-6b-fp16-tp1-"), done.stderr
    assert "EleutherAI/gpt-j-6b@" in ft_serving("list", "--storage", volume).stdout


def test_several_snapshots_are_told_so_that_one_can_be_named(tmp_path: Path) -> None:
    folder = cached(tmp_path, COMMIT, "0" * 40)
    for given, message in (
        (folder, f"found {folder}/snapshots/{'0' * 40}, {folder}/snapshots/{COMMIT}."),
        (folder.parent, f"Name one below it: {folder}/snapshots/{'0' * 40}, "),
    ):
        done = ft_serving("prepare", "--repository", given, "--storage", tmp_path / "volume")
        assert done.returncode == 1
        assert message in done.stderr


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors"])
def test_a_link_to_a_file_that_is_not_there_is_told_as_such(world: World, lost: str) -> None:
    folder = cached(world.checkpoint.parent, COMMIT)
    (folder / "blobs" / lost).unlink()
    world.checkpoint = folder / "snapshots" / COMMIT
    message = world.refused(CheckpointError)
    assert f"links to files that are not there: {lost} -> ../../blobs/{lost}. Copy" in message


def test_a_link_that_no_model_needs_may_lead_nowhere(world: World) -> None:
    (world.checkpoint / "README.md").symlink_to("nowhere")
    (world.checkpoint / "pytorch_model.bin").symlink_to("nowhere")
    LocalSource(world.checkpoint, (), Progress(world.said))


def test_a_download_of_this_program_has_the_models_name(world: World) -> None:
    folder = world.checkpoint.rename(world.checkpoint.parent / COMMIT)
    assert LocalSource(folder, (), Progress(world.said)).repository == folder.parent.name


def test_a_hash_that_is_known_is_not_computed_again(world: World) -> None:
    source = LocalSource(world.checkpoint, (), Progress(world.said))
    world.said.truncate(0)
    again = LocalSource(world.checkpoint, source.files(), Progress(world.said))
    assert again.revision == source.revision
    assert "hash" not in world.said.getvalue()


def test_a_training_folder_says_which_folders_below_have_a_checkpoint(world: World) -> None:
    run = world.checkpoint
    world.checkpoint = run.parent / "run"
    shutil.move(run, world.checkpoint / "checkpoint-500")
    message = world.refused(CheckpointError)
    assert message.endswith(f"Name one below it: {world.checkpoint}/checkpoint-500.")


def test_an_adapter_without_its_model_is_told_with_how_to_merge_it(world: World) -> None:
    for file in world.checkpoint.iterdir():
        file.unlink()
    (world.checkpoint / "adapter_config.json").write_text(ADAPTER)
    message = world.refused(CheckpointError)
    assert "It is an adapter (peft_type 'LORA') for the model 'EleutherAI/gpt-j-6b'. Me" in message


def test_an_adapter_beside_a_whole_model_is_left_out_and_told(world: World) -> None:
    progress = Progress(world.said)
    revision = LocalSource(world.checkpoint, (), progress).revision
    (world.checkpoint / "adapter_config.json").write_text(ADAPTER)
    assert LocalSource(world.checkpoint, (), progress).revision == revision
    assert "Ignored: the adapter of adapter_config.json" in world.said.getvalue()
