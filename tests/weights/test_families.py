"""config.json, read with the eyes of FasterTransformer."""

import json
from typing import Any

import pytest

from ft_serving.core.errors import FtServingError
from ft_serving.core.families import read_architecture
from ft_serving.core.families.architecture import Architecture
from ft_serving.weights.plan import parallelism_problems
from tests.weights.models import CONFIG


def read(**changes: Any) -> Architecture:
    config = {**CONFIG, **changes}
    return read_architecture(json.dumps(config).encode())[1]


def refusal(**changes: Any) -> str:
    with pytest.raises(FtServingError) as caught:
        read(**changes)
    return str(caught.value)


def test_the_published_gpt_j_6b_is_understood() -> None:
    family, architecture = read_architecture(
        b'{"model_type": "gptj", "activation_function": "gelu_new", "n_embd": 4096, "n_head": 16,'
        b' "n_inner": null, "n_layer": 28, "rotary_dim": 64, "vocab_size": 50400,'
        b' "bos_token_id": 50256, "eos_token_id": 50256, "layer_norm_epsilon": 1e-05}'
    )
    assert family.triton_model_type == "GPT-J"
    assert architecture == Architecture(
        heads=16,
        head_size=256,
        inner=16384,
        layers=28,
        vocabulary=50400,
        rotary=64,
        start_id=50256,
        end_id=50256,
        context=2048,
    )


@pytest.mark.parametrize(
    ("change", "number", "value"),
    [
        # NVIDIA's converter ignores n_inner, and writes the word None for a null rotary_dim.
        ({"n_inner": 384}, "inner", 384),
        ({"rotary_dim": None}, "rotary", 32),
        ({"n_positions": 512}, "context", 512),
        ({}, "context", 2048),
        ({"eos_token_id": [7, 8]}, "end_id", 7),
        ({"quantization_config": {}}, "heads", 4),
    ],
)
def test_a_number_is_config_jsons_or_that_of_transformers(
    change: dict[str, Any], number: str, value: int
) -> None:
    assert getattr(read(**change), number) == value


def test_an_absent_rotary_dimension_is_that_of_transformers() -> None:
    config = {key: value for key, value in CONFIG.items() if key != "rotary_dim"}
    config |= {"n_embd": 256}
    assert read_architecture(json.dumps(config).encode())[1].rotary == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "model_type 'llama' cannot be converted; supported: "),
        ({"model_type": None}, "model_type None cannot be converted"),
        ({"model_type": ["gptj"]}, "model_type ['gptj'] cannot be converted"),
        ({"n_layer": 0}, "n_layer: must be an integer of at least 1; got 0"),
        ({"n_layer": True}, "n_layer: must be an integer of at least 1; got True"),
        ({"n_layer": "28"}, "n_layer: must be an integer of at least 1; got '28'"),
        ({"n_layer": 10**9}, "n_layer: must be an integer of at most 1024; got 1000000000"),
        ({"vocab_size": 2**31}, "vocab_size: must be an integer of at most 2147483647; got 2147"),
        (
            {"n_embd": 130},
            "n_embd: must be the 4 heads times a head size that FasterTransformer has (32, 48, ",
        ),
        ({"n_embd": 64}, "n_embd: must be the 4 heads times a head size"),
        ({"rotary_dim": 15}, "rotary_dim: must be even and at most the head size 32; got 15"),
        ({"rotary_dim": 64}, "rotary_dim: must be even and at most the head size 32; got 64"),
        ({"activation_function": "relu"}, "the engines compute gelu_new or"),
        ({"eos_token_id": 96}, "eos_token_id: must be a token id below the vocabulary's size 96"),
        ({"eos_token_id": []}, "eos_token_id: must be a token id, a whole number of at least 0"),
        ({"eos_token_id": -1}, "eos_token_id: must be a token id, a whole number of at least 0"),
        ({"n_positions": 0}, "n_positions: must be an integer of at least 1; got 0"),
        ({"n_inner": -1}, "n_inner: must be an integer of at least 1; got -1"),
    ],
)
def test_an_impossible_value_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    assert message in refusal(**change)


def test_all_problems_are_told_at_once() -> None:
    config = {**CONFIG, "rotary_dim": 3, "activation_function": "relu"}
    del config["n_layer"]
    with pytest.raises(FtServingError) as caught:
        read_architecture(json.dumps(config).encode())
    for part in ("n_layer: must be", "; it is missing", "rotary_dim: ", "activation_function: "):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"[]"])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(FtServingError, match=r"not valid JSON|must hold a JSON object; got list"):
        read_architecture(content)


def test_a_default_that_does_not_fit_is_told_as_one() -> None:
    config = {
        key: value for key, value in CONFIG.items() if key not in ("rotary_dim", "eos_token_id")
    }
    with pytest.raises(FtServingError) as caught:
        read_architecture(json.dumps(config).encode())
    message = str(caught.value)
    assert "the head size 32; got nothing, whose default is 64" in message
    assert "vocabulary's size 96; got nothing, whose default is 50256" in message


def test_the_valid_parallel_sizes_are_proposed() -> None:
    architecture = read(n_inner=384)
    assert parallelism_problems(architecture, 4, 2) == []
    tensor, pipeline = parallelism_problems(architecture, 3, 3)
    assert tensor == (
        "tensor parallel size must divide the model's 4 attention heads and its inner size 384; "
        "got 3; use 1, 2 or 4"
    )
    assert pipeline == "pipeline parallel size must divide the model's 2 layers; got 3; use 1 or 2"
    assert len(parallelism_problems(architecture, 0, -1)) == 2
    (problem,) = parallelism_problems(read(n_inner=130), 4)
    assert problem.endswith("inner size 130; got 4; use 1 or 2")


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "Save it dequantized"),
        ({"load_in_4bit": True}, "got quant_method 'bitsandbytes'. Save it dequantized"),
        ({"quant_method": "gptq", "bits": 4}, "Prepare the model that it was made from"),
        ({"quant_method": "awq"}, "got quant_method 'awq'. Prepare the model that it was made"),
        ({"quant_method": ["a" * 10_000]}, "delete quantization_config from config.json"),
    ],
)
def test_quantized_weights_are_told_by_config_json_before_they_are_downloaded(
    settings: dict[str, Any], remedy: str
) -> None:
    message = refusal(quantization_config=settings)
    assert remedy in message
    assert len(message) < 1_000
