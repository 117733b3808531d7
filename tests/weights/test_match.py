"""The match of a checkpoint's tensors with a model, and the kinds that match none."""

from pathlib import Path

import numpy as np
import pytest

from ft_serving.core.arrays import AnyArray
from ft_serving.core.families import read_architecture
from ft_serving.weights.checkpoint import open_checkpoint
from ft_serving.weights.errors import WeightsError
from ft_serving.weights.match import Match, match_tensors
from ft_serving.weights.plan import TensorJob
from tests.weights.models import CONFIG, random_values, state_dict, write_checkpoint

VALUE_HEAD = {
    "v_head.summary.weight": np.ones((1, 128), np.float32),
    "v_head.summary.bias": np.ones(1, np.float32),
}
PROJECTION = "transformer.h.0.attn.q_proj"


def match(folder: Path) -> Match:
    family, architecture = read_architecture((folder / "config.json").read_bytes())
    with open_checkpoint(folder) as checkpoint:
        return match_tensors(family, architecture, checkpoint)


def wrapped(prefix: str) -> dict[str, AnyArray]:
    return {prefix + name: values for name, values in state_dict(random_values()).items()}


def without(*parts: str) -> dict[str, AnyArray]:
    tensors = state_dict(random_values())
    return {name: v for name, v in tensors.items() if not any(part in name for part in parts)}


def test_missing_unknown_and_misshapen_tensors_are_told_at_once_by_name(tmp_path: Path) -> None:
    tensors = state_dict(random_values())
    del tensors["transformer.h.1.mlp.fc_in.bias"]
    tensors["transformer.h.2.ln_1.weight"] = np.zeros(128, np.float32)
    tensors["lm_head.weight"] = np.zeros((95, 128), np.float32)
    tensors["transformer.ln_f.bias"] = np.zeros(128, np.int32)
    folder = write_checkpoint(tmp_path, tensors)
    with pytest.raises(WeightsError) as caught:
        match(folder)
    message = str(caught.value)
    assert "missing from the checkpoint (1):\n    transformer.h.1.mlp.fc_in.bias" in message
    assert "unknown in the checkpoint (1):\n    transformer.h.2.ln_1.weight" in message
    assert "lm_head.weight is [95, 128], must be [96, 128]" in message
    assert "not in fp32, fp16 or bf16 (1):\n    transformer.ln_f.bias is I32" in message


def test_a_transposed_tensor_is_refused_though_its_size_is_right(tmp_path: Path) -> None:
    tensors = state_dict(random_values())
    name = "transformer.h.0.mlp.fc_in.weight"
    tensors[name] = np.ascontiguousarray(tensors[name].T)
    with pytest.raises(WeightsError, match=r"fc_in.weight is \[128, 512\], must be \[512, 128\]"):
        match(write_checkpoint(tmp_path, tensors))


@pytest.mark.parametrize("prefix", ["", "module.", "base_model.", "module._orig_mod."])
def test_a_prefix_a_value_head_and_old_buffers_are_left_out_and_told(
    tmp_path: Path, prefix: str
) -> None:
    buffers: dict[str, AnyArray] = {
        f"{prefix}transformer.h.0.attn.bias": np.ones((1, 1, 8, 8), np.uint8),
        f"{prefix}transformer.h.0.attn.masked_bias": np.array(-1e9, np.float32),
    }
    found = match(write_checkpoint(tmp_path, {**wrapped(prefix), **buffers, **VALUE_HEAD}))
    (job,) = found.jobs((JOB,))
    assert job.sources == (f"{prefix}lm_head.bias",)
    told = found.ignored()
    assert told.pop() == (
        "Ignored: a value head, which generates no text (v_head.summary.bias, "
        "v_head.summary.weight)."
    )
    assert (
        told == [f"Ignored: the prefix {prefix!r}, which all tensors' names have."][: bool(prefix)]
    )


JOB = TensorJob(
    target="x", sources=("lm_head.bias",), transpose=False, rows=(0, 1), columns=(0, 96)
)


def integers(*shape: int) -> AnyArray:
    return np.ones(shape, np.int8)


@pytest.mark.parametrize(
    ("tensors", "remedy"),
    [
        (wrapped("module.") | wrapped("ema."), "begin with ['ema.', 'module.']. Save the tensors"),
        (
            without(f"{PROJECTION}.weight")
            | {f"{PROJECTION}.{part}": integers(4, 4) for part in ("qweight", "qzeros", "scales")},
            "quantized (GPTQ or AWQ). Prepare the model that it was made from",
        ),
        (
            without(f"{PROJECTION}.weight")
            | {f"{PROJECTION}.weight": integers(128, 128), f"{PROJECTION}.SCB": integers(128)},
            "quantized (bitsandbytes). Save it dequantized",
        ),
        (
            without(f"{PROJECTION}.weight")
            | {
                f"{PROJECTION}.weight": integers(8192, 1).view(np.uint8),
                f"{PROJECTION}.weight.absmax": integers(4),
                f"{PROJECTION}.weight.quant_map": integers(16),
            },
            "quantized (bitsandbytes). Save it dequantized",
        ),
        (
            without(f"{PROJECTION}.weight")
            | {f"{PROJECTION}.weight": integers(128, 128), f"{PROJECTION}.absmax": integers(4)},
            "quantized (blocks of 8 bits)",
        ),
        (
            state_dict(random_values()) | {f"{PROJECTION}.weight": integers(128, 128)},
            "Its weights are quantized. Prepare",
        ),
        (
            {name: values.astype(np.float64) for name, values in without().items()},
            "fp64. Save them as fp32",
        ),
        (
            wrapped("base_model.model.")
            | {f"base_model.model.{PROJECTION}.lora_A.default.weight": np.ones((8, 128))},
            "not merged into the weights. Call peft's merge_and_unload()",
        ),
        (dict.fromkeys(without(), np.ones(0, np.float32)), "`python zero_to_fp32.py"),
        (state_dict(random_values(), {**CONFIG, "vocab_size": 100}), "Set vocab_size to 100"),
        (
            without() | {"lm_head.bias": np.ones(100, np.float32)},
            "call resize_token_embeddings(SIZE)",
        ),
        (without("lm_head"), "It has no lm_head"),
        (
            {name.partition(".")[2]: values for name, values in without("lm_head").items()},
            "It has no lm_head",
        ),
        (without("lm_head.weight"), "set tie_word_embeddings to false"),
        (without(".ln_f."), "Use the config.json and the weights of one checkpoint"),
        (without("transformer"), "missing from the checkpoint (23):"),
        (without("transformer"), "and 15 more"),
        (without() | {"ilql_heads.q_heads.0.0.weight": np.ones((4, 128), np.float32)}, "unknown"),
    ],
)
def test_tensors_of_another_kind_are_told_with_what_makes_a_usable_checkpoint(
    tmp_path: Path, tensors: dict[str, AnyArray], remedy: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        match(write_checkpoint(tmp_path, tensors))
    assert remedy in str(caught.value)
