"""From a checkpoint to a valid release, and every way in which that may fail."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.errors import FtServingError
from ft_serving.core.manifest import read_manifest
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.core.verify import check_content, check_sizes
from ft_serving.weights.convert import convert
from ft_serving.weights.errors import CheckpointError, WeightsError
from ft_serving.weights.prepare import Outcome
from ft_serving.weights.source import LocalSource
from tests.weights.models import CONFIG, random_checkpoint, random_values, state_dict
from tests.weights.models import write_checkpoint as write
from tests.weights.world import World


def test_a_release_has_the_layout_that_triton_and_fastertransformer_expect(world: World) -> None:
    prepared = world.prepare()
    assert prepared.outcome is Outcome.CONVERTED
    store = world.storage.root / "triton-model-store"
    assert prepared.folder == store / prepared.manifest.spec.name
    model = prepared.folder / "fastertransformer"
    assert sorted(p.name for p in model.iterdir()) == ["1", "config.pbtxt"]
    names = {p.name for p in (model / "1").iterdir()}
    assert {"config.ini", "manifest.json", "model.wte.bin"} < names
    assert len(names) == 1 + 1 + 5 + 2 * (3 + 5 * 2), "the formula of NVIDIA's file count"
    assert f'string_value: "{model / "1"}"' in (model / "config.pbtxt").read_text()


def test_config_ini_says_what_fastertransformer_must_know(world: World) -> None:
    prepared = world.prepare(dtype=DType.BF16)
    text = (prepared.folder / "fastertransformer/1/config.ini").read_text()
    assert text == (
        "[gptj]\n"
        "model_name = tiny-model\n"
        "head_num = 4\n"
        "size_per_head = 32\n"
        "inter_size = 512\n"
        "num_layer = 2\n"
        "vocab_size = 96\n"
        "rotary_embedding = 16\n"
        "start_id = 1\n"
        "end_id = 1\n"
        "weight_data_type = bf16\n"
    )


def test_a_manifest_tells_source_settings_and_every_file(world: World) -> None:
    prepared = world.prepare()
    manifest = read_manifest(prepared.folder)
    assert manifest == prepared.manifest
    assert manifest.origin == str(world.checkpoint)
    assert [file.name for file in manifest.source] == ["config.json", "model.safetensors"]
    listed = {file.path for file in manifest.files}
    found = {
        p.relative_to(prepared.folder).as_posix() for p in prepared.folder.rglob("*") if p.is_file()
    }
    assert found - listed == {".ft-serving", "fastertransformer/1/manifest.json"}
    assert check_content(prepared.folder, Progress(world.said)) == []


def test_a_valid_release_is_left_as_it_is(world: World) -> None:
    first = world.prepare()
    times = {p: p.stat().st_mtime_ns for p in first.folder.rglob("*")}
    second = world.prepare()
    assert second.outcome is Outcome.FOUND
    assert {p: p.stat().st_mtime_ns for p in first.folder.rglob("*")} == times


def test_the_same_settings_give_the_same_bytes_in_another_storage(
    world: World, tmp_path: Path
) -> None:
    first = world.prepare()
    world.storage = Storage(tmp_path / "other")
    world.storage.create()
    second = world.prepare()
    assert first.manifest.spec.name == second.manifest.spec.name
    weights = [
        {f.path: f.sha256 for f in prepared.manifest.files if f.path.endswith((".bin", ".ini"))}
        for prepared in (first, second)
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("change", [{"tensor_parallel": 1}, {"dtype": DType.FP32}])
def test_other_weights_are_another_release_beside_the_first(
    world: World, change: dict[str, Any]
) -> None:
    first = world.prepare()
    second = world.prepare(**change)
    assert second.outcome is Outcome.CONVERTED
    assert second.folder != first.folder
    assert check_sizes(first.folder) == []


def test_a_changed_checkpoint_is_another_release(world: World) -> None:
    first = world.prepare()
    random_checkpoint(world.checkpoint, seed=1)
    assert world.prepare().folder != first.folder


@pytest.mark.parametrize(
    "change",
    [
        {"streaming": True},
        {"pipeline_parallel": 2},
        {"compute_dtype": DType.FP32},
        {"input_length": 16},
    ],
)
def test_releases_with_the_same_weights_share_their_files(
    world: World, change: dict[str, Any]
) -> None:
    first = world.prepare()
    second = world.prepare(**change)
    assert second.outcome is Outcome.LINKED
    name = "fastertransformer/1/model.wte.bin"
    assert (second.folder / name).samefile(first.folder / name)
    pbtxt = "fastertransformer/config.pbtxt"
    assert (second.folder / pbtxt).read_bytes() != (first.folder / pbtxt).read_bytes()
    assert check_content(second.folder, Progress(world.said)) == []


def test_a_volume_without_hard_links_gets_converted_weights(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.prepare()

    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    second = world.prepare(streaming=True)
    assert second.outcome is Outcome.CONVERTED
    assert check_content(second.folder, Progress(world.said)) == []


def test_both_parallel_sizes_are_checked_before_anything_is_written(world: World) -> None:
    message = world.refused(WeightsError, tensor_parallel=3, pipeline_parallel=5)
    assert "use 1, 2 or 4" in message
    assert "use 1 or 2" in message


@pytest.mark.parametrize(
    ("lengths", "given"),
    [
        ({"input_length": 1024, "output_length": 1025}, "input length 1024 and output length 1025"),
        ({"input_length": 2048}, "input length 2048"),
        ({"output_length": 2048}, "output length 2048"),
    ],
)
def test_lengths_must_fit_the_models_context(
    world: World, lengths: dict[str, int], given: str
) -> None:
    message = world.refused(WeightsError, **lengths)
    assert message == (
        "prompts and answers together must fit the model's context of 2048 tokens (n_positions); "
        f"got {given}"
    )
    world.prepare(input_length=1024, output_length=1024)


def test_a_pipeline_size_is_checked_for_shared_weights_too(world: World) -> None:
    world.prepare()
    assert "2 layers" in world.refused(WeightsError, pipeline_parallel=5)


def test_a_broken_config_is_refused(world: World) -> None:
    (world.checkpoint / "config.json").write_text("{")
    assert "not valid JSON" in world.refused(FtServingError)


def test_a_folder_without_config_is_refused(world: World) -> None:
    (world.checkpoint / "config.json").unlink()
    assert "has no config.json" in world.refused(CheckpointError)


def test_a_checkpoint_that_may_not_be_read_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, _advance: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("ft_serving.weights.source.file_sha256", forbidden)
    message = world.refused(CheckpointError)
    assert f"{world.checkpoint}/config.json: cannot be read: Permission denied" in message


def test_a_valid_release_whose_time_may_not_be_set_is_told_with_its_path(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.prepare().folder

    def forbidden(_: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("ft_serving.weights.prepare.os.utime", forbidden)
    assert f"{folder}: Operation not permitted. Check the volume" in world.refused(FtServingError)


def test_a_folder_without_weights_is_refused(world: World) -> None:
    (world.checkpoint / "model.safetensors").unlink()
    assert "model.safetensors" in world.refused(CheckpointError)


@pytest.mark.parametrize("size", [0, 7, 100, 50_000])
def test_a_truncated_checkpoint_is_refused(world: World, size: int) -> None:
    os.truncate(world.checkpoint / "model.safetensors", size)
    assert "model.safetensors" in world.refused(CheckpointError)


def test_another_models_tensors_are_refused(world: World) -> None:
    tensors = state_dict(random_values())
    tensors["gpt_neox.embed_in.weight"] = tensors.pop("transformer.wte.weight")
    write(world.checkpoint, tensors)
    message = world.refused(WeightsError)
    assert "gpt_neox.embed_in.weight" in message
    assert "transformer.wte.weight" in message


def test_a_value_beyond_fp16_leaves_nothing_behind(world: World) -> None:
    tensors = state_dict(random_values())
    tensors["transformer.h.1.mlp.fc_out.weight"][0, 0] = 1e9
    write(world.checkpoint, tensors)
    assert "fc_out.weight holds 1e+09" in world.refused(WeightsError)
    assert world.prepare(dtype=DType.BF16).outcome is Outcome.CONVERTED


def test_a_checkpoint_that_changes_meanwhile_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert_and_touch(*args: Any) -> Any:
        os.utime(world.checkpoint / "model.safetensors")
        return convert(*args)

    monkeypatch.setattr("ft_serving.weights.layouts.convert", convert_and_touch)
    assert "changed while it was read" in world.refused(WeightsError)


def test_too_small_a_volume_is_refused_before_the_first_byte(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Storage, "free_bytes", lambda _: 1000)
    message = world.refused(FtServingError)
    assert "has 1000 B free" in message
    assert "MiB are needed" in message


def test_a_hash_that_is_known_is_not_computed_again(world: World) -> None:
    source = LocalSource(world.checkpoint, (), Progress(world.said))
    world.said.truncate(0)
    again = LocalSource(world.checkpoint, source.files(), Progress(world.said))
    assert again.revision == source.revision
    assert "hash" not in world.said.getvalue()


def test_the_same_folder_elsewhere_is_the_same_release(world: World, tmp_path: Path) -> None:
    first = world.prepare()
    world.checkpoint = shutil.copytree(world.checkpoint, tmp_path / "copy" / "tiny-model")
    assert world.prepare().outcome is Outcome.FOUND
    assert first.manifest.spec.repository == "tiny-model"


def test_what_a_killed_process_left_is_removed(world: World) -> None:
    name = world.prepare().manifest.spec.name
    world.storage.delete_release(name)
    leftover = world.storage.staging(name)
    (leftover / "fastertransformer/1").mkdir(parents=True)
    (leftover / "fastertransformer/1/model.wte.bin").write_bytes(np.zeros(100).tobytes())
    world.prepare()
    assert world.storage.leftovers() == []


def test_a_null_rotary_dimension_becomes_a_number(world: World) -> None:
    config = {**CONFIG, "rotary_dim": None}
    random_checkpoint(world.checkpoint, config)
    text = (world.prepare().folder / "fastertransformer/1/config.ini").read_text()
    assert "rotary_embedding = 32\n" in text
