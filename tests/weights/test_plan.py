"""The files of a release, as they are planned before anything is read."""

import json
from typing import Any

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.families import read_architecture
from ft_serving.weights.errors import WeightsError
from ft_serving.weights.plan import file_jobs, total_bytes
from tests.weights.models import CONFIG

GPT_J_6B = {**CONFIG, "n_embd": 4096, "n_head": 16, "n_layer": 28, "vocab_size": 50400}


def sizes(config: dict[str, Any], tensor_parallel: int) -> dict[str, int]:
    family, architecture = read_architecture(json.dumps(config).encode())
    jobs = file_jobs(family, architecture, tensor_parallel)
    return {job.target: total_bytes((job,), DType.FP32) for job in jobs}


@pytest.mark.parametrize(("tensor_parallel", "files"), [(1, 229), (2, 369)])
def test_gpt_j_6b_has_as_many_files_as_from_nvidias_converter(
    tensor_parallel: int, files: int
) -> None:
    assert len(sizes(GPT_J_6B, tensor_parallel)) == files
    assert sum(sizes(GPT_J_6B, tensor_parallel).values()) == 24_203_531_136


def test_gpt_j_6b_has_the_sizes_that_fastertransformer_asks_for() -> None:
    found = sizes(GPT_J_6B, 1)
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


def test_a_tensor_parallel_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"16 attention heads .* got 3; use 1, 2, 4, 8 or 16"):
        sizes(GPT_J_6B, 3)
