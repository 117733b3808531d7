import json
import mmap
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ft_serving.core.arrays import AnyArray
from ft_serving.weights.checkpoint import open_checkpoint
from ft_serving.weights.errors import CheckpointError
from tests.weights.checkpoint import torch_archive as torch

A, B = "model-1.safetensors", "model-2.safetensors"


def write_shards(
    folder: Path, shards: Mapping[str, Mapping[str, AnyArray]], weight_map: Mapping[str, str]
) -> None:
    for file, tensors in shards.items():
        save_file(dict(tensors), folder / file)
    index = json.dumps({"weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index)


def floats(*values: float) -> AnyArray:
    return np.array(values, np.float32)


def test_a_sharded_checkpoint_is_one_mapping(tmp_path: Path) -> None:
    shards = {A: {"x": floats(1, 2), "mask": np.ones(2, bool)}, B: {"y": floats(3)}}
    write_shards(tmp_path, shards, {"x": A, "mask": A, "y": B})
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint["x"].path == tmp_path / A
        assert checkpoint["y"].path == tmp_path / B
        assert checkpoint.array("x").tolist() == [1, 2]
        assert checkpoint.array("y").tolist() == [3]
        assert checkpoint.others == {"mask": "BOOL"}


def test_shards_of_torch_are_one_mapping(tmp_path: Path) -> None:
    for file, name, value in (("p-1.bin", "x", b"\0\0\x80\x3f"), ("p-2.bin", "y", b"\0\0\0\x40")):
        pickled = torch.tensor(torch.storage("FloatStorage", "0", 1), (1,), (1,))
        torch.write_archive(tmp_path / file, torch.state_dict({name: pickled}), {"0": value})
    index = {"weight_map": {"x": "p-1.bin", "y": "p-2.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.array("x").tolist() == [1]
        assert checkpoint.array("y").tolist() == [2]


def test_an_index_that_disagrees_with_its_shards_is_refused_with_all_names(tmp_path: Path) -> None:
    shards = {
        A: {"moved": floats(1), "twice": floats(2), "unlisted": np.ones(1, bool)},
        B: {"right": floats(3), "twice": floats(4)},
    }
    write_shards(tmp_path, shards, {"moved": B, "twice": A, "absent": A, "right": B})
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    message = str(caught.value)
    assert message.startswith("model.safetensors.index.json: ")
    assert f"'absent' is not in {A}, nor in another shard" in message
    assert f"'moved' is in {A}, not in {B}" in message
    assert f"'twice' is in {A} and in {B}" in message
    assert f"'unlisted' of {A} is not listed" in message
    assert "'right'" not in message


def test_a_huge_index_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors.index.json").open("wb") as file:
        file.truncate(100_000_001)
    with pytest.raises(CheckpointError, match="it has 100000001 bytes"):
        open_checkpoint(tmp_path)


def test_a_folder_without_a_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "none"))):
        open_checkpoint(tmp_path / "none")
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="There is no checkpoint to read: found no files"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_git_lfs_pointer_and_an_empty_file_are_refused(tmp_path: Path, file: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 24207819307\n"
    (tmp_path / file).write_text(pointer)
    with pytest.raises(CheckpointError, match="git lfs pull"):
        open_checkpoint(tmp_path)
    (tmp_path / file).write_text("")
    with pytest.raises(CheckpointError, match=re.escape(file)):
        open_checkpoint(tmp_path)


def test_a_view_is_read_only_and_copies_nothing(tmp_path: Path) -> None:
    save_file({"x": floats(1, 2, 3)}, tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path) as checkpoint:
        first, second = checkpoint.array("x"), checkpoint.array("x")
        assert np.shares_memory(first, second), "both are the mapped file"
        with pytest.raises(ValueError, match="WRITEABLE"):
            first.flags.writeable = True


def test_a_view_outlives_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"x": floats(1, 2)}, path)
    with open_checkpoint(tmp_path) as checkpoint:
        view = checkpoint.array("x")
    assert view.tolist() == [1, 2]
    assert str(path) in Path("/proc/self/maps").read_text()
    del view
    assert str(path) not in Path("/proc/self/maps").read_text(), "the last view unmaps the file"


def test_advice_is_taken_for_every_position_in_a_page(tmp_path: Path) -> None:
    page = mmap.PAGESIZE
    sizes = {"a": 0, "b": 1, "c": page // 4, "d": 3 * page // 4, "e": 0, "f": page, "g": 0}
    arrays = {name: np.arange(size, dtype=np.float32) for name, size in sizes.items()}
    save_file(arrays, tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path) as checkpoint:
        for name, expected in arrays.items():
            checkpoint.will_need(name)
            checkpoint.done_with(name)
            assert checkpoint.array(name).tolist() == expected.tolist()


def test_done_with_takes_a_tensor_out_of_resident_memory(tmp_path: Path) -> None:
    size = 32 << 20
    save_file({"x": np.ones(size // 4, np.float32)}, tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path) as checkpoint:
        before = resident_file_bytes()
        assert checkpoint.array("x").sum() == size / 4
        assert resident_file_bytes() - before > 0.9 * size
        checkpoint.done_with("x")
        assert resident_file_bytes() - before < 0.1 * size


def resident_file_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    # Files on a memory file system count as shared.
    found = re.findall(r"^Rss(?:File|Shmem):\s+(\d+) kB", status, re.M)
    return 1024 * sum(map(int, found))
