"""Sizes agree with the plan of conversion and with published figures."""

from dataclasses import asdict

import pytest

from ft_serving.core.dtypes import DType, Precision
from ft_serving.core.families.architecture import Architecture, Shape
from ft_serving.core.families.base import Blueprint
from ft_serving.core.families.gptj import GPTJ
from ft_serving.core.families.gptneox import GPTNEOX, NeoXArchitecture
from ft_serving.weights.plan import TensorJob, file_jobs, total_bytes
from stacks.models import KNOWN_MODELS
from stacks.sizing import (
    PeakLoad,
    cpu_memory,
    gpu_memory,
    host_memory,
    job_deadline_s,
    release_bytes,
    source_bytes,
    storage_bytes,
    vllm_memory,
)

GPT_J = KNOWN_MODELS["EleutherAI/gpt-j-6b"].blueprint
PYTHIA = KNOWN_MODELS["EleutherAI/pythia-160m"].blueprint
TINY = KNOWN_MODELS["tiny-gptj"].blueprint
SMALL_LOAD = PeakLoad(batch=1, input_length=128, output_length=8)


def _jobs(blueprint: Blueprint, tensor_parallel: int) -> tuple[TensorJob, ...]:
    numbers = asdict(blueprint.shape) | {"rotary": 16, "start_id": 1, "end_id": 1}
    architecture = (
        NeoXArchitecture(**numbers, parallel_residual=True, exact_gelu=True)
        if blueprint.family is GPTNEOX
        else Architecture(**numbers)
    )
    return file_jobs(blueprint.family, architecture, tensor_parallel)


@pytest.mark.parametrize(
    "blueprint", [GPT_J, TINY, PYTHIA], ids=["gpt-j-6b", "tiny-gptj", "pythia"]
)
@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("tensor_parallel", [1, 2, 4])
def test_a_release_is_as_large_as_the_plan_makes_it(
    blueprint: Blueprint, dtype: DType, tensor_parallel: int
) -> None:
    planned = total_bytes(_jobs(blueprint, tensor_parallel), dtype)
    assert release_bytes(blueprint, dtype) == planned


def test_the_size_of_gpt_j_is_the_published_one() -> None:
    assert release_bytes(GPT_J, DType.FP32) == 24_203_531_136
    assert GPT_J.weights() == 6_050_882_784


# Parameters that the models' cards give.
@pytest.mark.parametrize(
    ("model", "published"),
    [
        ("gpt-neox-20b", 20_554_567_680),
        ("pythia-70m", 70_426_624),
        ("pythia-160m", 162_322_944),
        ("pythia-410m", 405_334_016),
        ("pythia-1b", 1_011_781_632),
        ("pythia-1.4b", 1_414_647_808),
        ("pythia-2.8b", 2_775_208_960),
        ("pythia-6.9b", 6_857_302_016),
        ("pythia-12b", 11_846_072_320),
    ],
)
def test_the_size_of_a_gpt_neox_is_the_published_one(model: str, published: int) -> None:
    blueprint = KNOWN_MODELS[f"EleutherAI/{model}"].blueprint
    sums_of_biases = blueprint.shape.layers * blueprint.shape.hidden
    assert blueprint.weights() - sums_of_biases == published


# docs/gpt_guide.md of FasterTransformer: GPT 6.7B, fp16, one A100; gigabytes.
@pytest.mark.parametrize(
    ("batch", "input_length", "output_length", "published"),
    [(1, 128, 8, 15.55), (64, 128, 8, 22.17), (1, 512, 32, 15.96), (64, 512, 32, 41.84)],
)
def test_the_sum_meets_the_memory_that_nvidia_publishes(
    batch: int, input_length: int, output_length: int, published: float
) -> None:
    shape = Shape(heads=32, head_size=128, inner=16_384, layers=32, vocabulary=51_200, context=1024)
    gpt = Blueprint(family=GPTJ, shape=shape)
    load = PeakLoad(batch=batch, input_length=input_length, output_length=output_length)
    needed = gpu_memory(gpt, DType.FP16, 1, 1, load).total / 1e9
    assert 0.99 * published <= needed <= 1.1 * published


def test_gpus_share_weights_and_keys_and_values() -> None:
    load = PeakLoad(batch=8, input_length=1024, output_length=256)
    whole = gpu_memory(GPT_J, DType.FP16, 1, 1, load)
    assert whole.weights == release_bytes(GPT_J, DType.FP16)
    assert whole.cache == 2 * 28 * 8 * 1280 * 4096 * 2
    assert gpu_memory(GPT_J, DType.FP16, 2, 7, load).cache == whole.cache // 14
    assert gpu_memory(GPT_J, DType.FP32, 4, 1, load).cache == whole.cache // 2
    shared = gpu_memory(GPT_J, DType.FP16, 4, 1, load)
    assert whole.weights / 4 < shared.weights < whole.weights / 3, "embedding and head are whole"


@pytest.mark.parametrize(
    ("model", "precision", "reported"),
    [
        ("gpt-j-6b", Precision.FP16, 11.27),
        ("gpt-j-6b", Precision.FP8, 6.02),
        ("gpt-neox-20b", Precision.FP16, 38.29),
    ],
)
def test_vllm_s_weights_are_those_that_it_reports(
    model: str, precision: Precision, reported: float
) -> None:
    """`Model loading took … GiB` of vLLM 0.26.0."""
    blueprint = KNOWN_MODELS[f"EleutherAI/{model}"].blueprint
    weights = vllm_memory(blueprint, precision, 1, SMALL_LOAD).weights / 2**30
    assert weights == pytest.approx(reported, abs=0.01)


@pytest.mark.parametrize(("batch", "activations", "graphs"), [(64, 0.4, 0.45), (1024, 0.69, 1.15)])
def test_the_sum_meets_what_vllm_reports_of_an_h200(
    batch: int, activations: float, graphs: float
) -> None:
    """0.26.0, fp16: weights 11.27, other 0.22, context 0.51 GiB."""
    load = PeakLoad(batch=batch, input_length=1024, output_length=256)
    memory = vllm_memory(GPT_J, Precision.FP16, 1, load)
    reported = 0.51 + 0.22 + activations + graphs + 582 / 1024
    total = (11.27 + reported) * 2**30 + memory.cache
    assert total <= memory.total <= 1.05 * total


def test_gpus_share_embedding_and_head_with_vllm() -> None:
    # 50400 rows are padded to 50432; norms and the bias behind each layer are whole everywhere.
    whole = 28 * (2 * 4096 + 4096) + 2 * 4096
    shared = 28 * (4 * 4096**2 + 2 * 4096 * 16_384 + 16_384) + 50_432 * (2 * 4096 + 1)
    for size in (1, 2, 4, 8):
        memory = vllm_memory(GPT_J, Precision.FP16, size, SMALL_LOAD)
        assert memory.weights == 2 * (whole + shared // size)


def test_vllm_s_cache_has_a_block_for_every_sixteen_tokens_of_a_text() -> None:
    load = PeakLoad(batch=3, input_length=30, output_length=3)
    of_a_token = 2 * 28 * 4096 * 2
    assert vllm_memory(GPT_J, Precision.FP16, 1, load).cache == (3 * 3 + 1) * 16 * of_a_token
    assert vllm_memory(GPT_J, Precision.FP8, 1, load).cache == (3 * 3 + 1) * 16 * of_a_token
    assert vllm_memory(GPT_J, Precision.FP32, 2, load).cache == (3 * 3 + 1) * 16 * of_a_token


def test_the_cpu_engine_holds_everything_in_fp32() -> None:
    load = PeakLoad(batch=8, input_length=256, output_length=256)
    memory = cpu_memory(TINY, load)
    assert memory.weights == 4 * TINY.weights()
    assert memory.cache == 4 * 2 * 4 * 8 * 512 * 128
    assert memory.total < 600 << 20, "tiny-gptj must run beside everything else on two cores"


def test_a_volume_holds_the_download_and_the_releases() -> None:
    parts = source_bytes(GPT_J) + 3 * release_bytes(GPT_J, DType.FP16)
    assert parts <= storage_bytes(GPT_J, DType.FP16, 3) <= 1.05 * parts
    assert storage_bytes(GPT_J, DType.FP32, 3) < 150 << 30, "the original example's volume"


def test_the_original_example_s_memory_suffices() -> None:
    assert host_memory(GPT_J, DType.FP16, 1) <= 8 << 30
    assert host_memory(GPT_J, DType.FP32, 1) <= 8 << 30


def test_a_job_has_the_time_that_the_original_example_took() -> None:
    took = (23 * 60 + 59) + (21 * 60 + 10)
    assert took < job_deadline_s(GPT_J, DType.FP16) < 2 * took
