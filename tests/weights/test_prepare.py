"""From a checkpoint to a valid release, and every way in which that may fail."""

import errno
import io
import os
import shutil
from contextlib import ExitStack
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
from tests.weights.models import random_checkpoint, random_values, state_dict
from tests.weights.models import write_checkpoint as write
from tests.weights.world import World


def test_a_release_has_the_layout_that_triton_and_fastertransformer_expect(world: World) -> None:
    prepared = world.prepare(dtype=DType.BF16)
    assert prepared.outcome is Outcome.CONVERTED
    store = world.storage.root / "triton-model-store"
    assert prepared.folder == store / prepared.manifest.spec.name
    model = prepared.folder / "fastertransformer"
    assert sorted(p.name for p in model.iterdir()) == ["1", "config.pbtxt"]
    names = {p.name for p in (model / "1").iterdir()}
    assert {"config.ini", "manifest.json", "model.wte.bin"} < names
    assert len(names) == 1 + 1 + 5 + 2 * (3 + 5 * 2), "the formula of NVIDIA's file count"
    assert f'string_value: "{model / "1"}"' in (model / "config.pbtxt").read_text()
    assert (model / "1" / "config.ini").read_text() == (
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
    assert world.prepare().outcome is Outcome.FOUND
    assert {p: p.stat().st_mtime_ns for p in first.folder.rglob("*")} == times


def test_of_two_processes_at_once_one_waits_and_finds_the_release(
    world: World, tmp_path: Path
) -> None:
    release = world.prepare().folder
    aside = release.rename(tmp_path / "aside")
    first = ExitStack()
    lock = world.storage.exclusive(f"release {release.name}", Progress(io.StringIO()))
    first.enter_context(lock)

    class Said(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith(f"Waiting for process {os.getpid()} on "):
                aside.rename(release)
                first.close()
            return super().write(text)

    world.said = Said()
    assert world.prepare().outcome is Outcome.FOUND
    assert "Waiting" in world.said.getvalue()


def test_the_same_checkpoint_gives_the_same_bytes_elsewhere(world: World, tmp_path: Path) -> None:
    first = world.prepare()
    world.checkpoint = shutil.copytree(world.checkpoint, tmp_path / "copy" / "tiny-model")
    assert world.prepare().outcome is Outcome.FOUND
    world.storage = Storage(tmp_path / "other")
    world.storage.create()
    second = world.prepare()
    assert first.manifest.spec.name == second.manifest.spec.name
    weights = [
        {f.path: f.sha256 for f in prepared.manifest.files if f.path.endswith((".bin", ".ini"))}
        for prepared in (first, second)
    ]
    assert weights[0] == weights[1]


def test_other_weights_are_another_release_beside_the_first(world: World) -> None:
    first = world.prepare()
    second = world.prepare(tensor_parallel=1)
    random_checkpoint(world.checkpoint, seed=1)
    third = world.prepare()
    assert second.outcome is third.outcome is Outcome.CONVERTED
    assert len({first.folder, second.folder, third.folder}) == 3
    assert check_sizes(first.folder) == []


@pytest.mark.parametrize(
    "change",
    [
        {"streaming": True},
        {"pipeline_parallel": 2},
        {"compute_dtype": DType.FP32},
        {"input_length": 1024, "output_length": 1024},
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
    link = Path.hardlink_to

    def refuse(self: Path, target: Path) -> None:
        if self.name == "model.wte.bin":
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    second = world.prepare(streaming=True)
    assert second.outcome is Outcome.CONVERTED
    assert {path.stat().st_nlink for path in second.folder.rglob("*.*") if path.is_file()} == {1}
    assert check_content(second.folder, Progress(world.said)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tensor_parallel": 3, "pipeline_parallel": 5}, ["use 1, 2 or 4", "use 1 or 2"]),
        (
            {"input_length": 1024, "output_length": 1025},
            [
                "must fit the model's context of 2048 tokens (n_positions)",
                "; got input length 1024 and output length 1025",
            ],
        ),
        ({"output_length": 2048}, ["got output length 2048"]),
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_settings_are_checked_before_anything_is_written(
    world: World, is_there: bool, changes: dict[str, int], told: list[str]
) -> None:
    if is_there:
        world.prepare()
    message = world.refused(WeightsError, **changes)
    assert all(part in message for part in told)


def replace_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def lose_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def lose_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def truncate(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 50_000)


def rename_tensor(folder: Path) -> None:
    tensors = state_dict(random_values())
    tensors["gpt_neox.embed_in.weight"] = tensors.pop("transformer.wte.weight")
    write(folder, tensors)


def overflow(folder: Path) -> None:
    tensors = state_dict(random_values())
    tensors["transformer.h.1.mlp.fc_out.weight"][0, 0] = 1e9
    write(folder, tensors)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (replace_config, FtServingError, "not valid JSON"),
        (lose_config, CheckpointError, "has no config.json"),
        (lose_weights, CheckpointError, "model.safetensors"),
        (truncate, CheckpointError, "model.safetensors"),
        (rename_tensor, WeightsError, "gpt_neox.embed_in.weight"),
        (overflow, WeightsError, "fc_out.weight holds 1e+09"),
    ],
)
def test_a_checkpoint_that_cannot_be_converted_leaves_nothing_behind(
    world: World, damage: Any, error: type[FtServingError], message: str
) -> None:
    damage(world.checkpoint)
    assert message in world.refused(error)


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


def test_what_a_killed_process_left_is_removed(world: World) -> None:
    name = world.prepare().manifest.spec.name
    world.storage.delete_release(name)
    for _ in range(2):
        leftover = world.storage.staging(name)
        (leftover / "fastertransformer/1").mkdir(parents=True)
        (leftover / "fastertransformer/1/model.wte.bin").write_bytes(np.zeros(100).tobytes())
    assert check_content(world.prepare().folder, Progress(world.said)) == []
    assert world.storage.leftovers() == []
