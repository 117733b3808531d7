"""Which file holds what, before anything is read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ft_serving.dtypes import DType
from ft_serving.weights.checkpoint import open_checkpoint
from ft_serving.weights.errors import PlanError
from ft_serving.weights.families import read_architecture
from ft_serving.weights.plan import check_tensors, file_jobs, total_bytes
from tests.weights.models import CONFIG, random_values, state_dict, write_checkpoint

GPT_J_6B = {**CONFIG, "n_embd": 4096, "n_head": 16, "n_layer": 28, "vocab_size": 50400}


def sizes(config: dict[str, Any], tensor_parallel: int) -> dict[str, int]:
    family, architecture = read_architecture(json.dumps(config).encode())
    jobs = file_jobs(family, architecture, tensor_parallel)
    return {job.target: total_bytes((job,), DType.FP32) for job in jobs}


def check(folder: Path) -> None:
    family, architecture = read_architecture((folder / "config.json").read_bytes())
    with open_checkpoint(folder) as checkpoint:
        check_tensors(family, architecture, checkpoint)


@pytest.mark.parametrize(("tensor_parallel", "files"), [(1, 229), (2, 369)])
def test_gpt_j_6b_has_as_many_files_as_from_nvidias_converter(
    tensor_parallel: int, files: int
) -> None:
    assert len(sizes(GPT_J_6B, tensor_parallel)) == files


def test_gpt_j_6b_has_the_sizes_that_fastertransformer_asks_for() -> None:
    found = sizes(GPT_J_6B, 1)
    assert sum(found.values()) == 24_203_531_136
    assert found["model.wte.bin"] == found["model.lm_head.weight.bin"] == 825_753_600
    assert found["model.lm_head.bias.bin"] == 201_600
    assert {name: size for name, size in found.items() if ".layers.27." in name} == {
        "model.layers.27.input_layernorm.weight.bin": 16_384,
        "model.layers.27.input_layernorm.bias.bin": 16_384,
        "model.layers.27.attention.query_key_value.weight.0.bin": 201_326_592,
        "model.layers.27.attention.dense.weight.0.bin": 67_108_864,
        "model.layers.27.mlp.dense_h_to_4h.weight.0.bin": 268_435_456,
        "model.layers.27.mlp.dense_h_to_4h.bias.0.bin": 65_536,
        "model.layers.27.mlp.dense_4h_to_h.weight.0.bin": 268_435_456,
        "model.layers.27.mlp.dense_4h_to_h.bias.bin": 16_384,
    }


def test_the_number_of_ranks_does_not_change_the_bytes() -> None:
    totals = {sum(sizes(GPT_J_6B, ranks).values()) for ranks in (1, 2, 4, 8, 16)}
    assert len(totals) == 1


def test_a_tensor_parallel_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(PlanError, match=r"16 attention heads .* got 3; use 1, 2, 4, 8 or 16"):
        sizes(GPT_J_6B, 3)


def test_missing_unknown_and_misshapen_tensors_are_told_at_once_by_name(tmp_path: Path) -> None:
    tensors = state_dict(random_values())
    del tensors["transformer.h.1.mlp.fc_in.bias"]
    tensors["transformer.h.2.ln_1.weight"] = np.zeros(128, np.float32)
    tensors["lm_head.weight"] = np.zeros((95, 128), np.float32)
    tensors["transformer.ln_f.bias"] = np.zeros(128, np.int32)
    folder = write_checkpoint(tmp_path, tensors)
    with pytest.raises(PlanError) as caught:
        check(folder)
    message = str(caught.value)
    assert "missing from the checkpoint (1):\n    transformer.h.1.mlp.fc_in.bias" in message
    assert "unknown in the checkpoint (1):\n    transformer.h.2.ln_1.weight" in message
    assert "lm_head.weight is [95, 128], must be [96, 128]" in message
    assert "not in fp32, fp16 or bf16 (1):\n    transformer.ln_f.bias is I32" in message


def test_a_transposed_tensor_is_refused_though_its_size_is_right(tmp_path: Path) -> None:
    tensors = state_dict(random_values())
    name = "transformer.h.0.mlp.fc_in.weight"
    tensors[name] = np.ascontiguousarray(tensors[name].T)
    with pytest.raises(PlanError, match=r"fc_in.weight is \[128, 512\], must be \[512, 128\]"):
        check(write_checkpoint(tmp_path, tensors))


def test_old_checkpoints_attention_buffers_are_ignored(tmp_path: Path) -> None:
    tensors = state_dict(random_values())
    tensors["transformer.h.0.attn.bias"] = np.ones((1, 1, 8, 8), np.uint8)
    tensors["transformer.h.0.attn.masked_bias"] = np.array(-1e9, np.float32)
    check(write_checkpoint(tmp_path, tensors))


def test_a_long_list_of_names_is_cut_and_counted(tmp_path: Path) -> None:
    tensors = {"lm_head.bias": np.zeros(96, np.float32)}
    with pytest.raises(PlanError, match=r"missing from the checkpoint \(24\):(.|\n)*and 16 more"):
        check(write_checkpoint(tmp_path, tensors))
