"""Random GPT-J models: as Hugging Face names their weights, and as FasterTransformer's files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft_serving.core.arrays import cast
from ft_serving.core.dtypes import DType

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model small enough for tests, large enough that no two of its axes are alike."""

    heads: int = 4
    head_size: int = 24
    inner: int = 160
    layers: int = 2
    vocabulary: int = 211
    rotary: int = 16

    @property
    def hidden(self) -> int:
        return self.heads * self.head_size

    @property
    def hugging_face(self) -> dict[str, Any]:
        return {"n_layer": self.layers, "n_head": self.heads, "rotary_dim": self.rotary}


def random_weights(shape: Shape, seed: int = 0) -> Weights:
    """Weights by Hugging Face's names; wide enough spread that a mistake shows in the logits."""
    generator = np.random.default_rng(seed)

    def matrix(*size: int) -> NDArray[np.float32]:
        return (generator.standard_normal(size) * 0.15).astype(np.float32)

    hidden, inner, vocabulary = shape.hidden, shape.inner, shape.vocabulary
    weights = {
        "transformer.wte.weight": matrix(vocabulary, hidden),
        "transformer.ln_f.weight": 1 + matrix(hidden),
        "transformer.ln_f.bias": matrix(hidden),
        "lm_head.weight": matrix(vocabulary, hidden),
        "lm_head.bias": matrix(vocabulary),
    }
    for layer in range(shape.layers):
        name = f"transformer.h.{layer}"
        weights[f"{name}.ln_1.weight"] = 1 + matrix(hidden)
        weights[f"{name}.ln_1.bias"] = matrix(hidden)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            weights[f"{name}.attn.{projection}.weight"] = matrix(hidden, hidden)
        weights[f"{name}.mlp.fc_in.weight"] = matrix(inner, hidden)
        weights[f"{name}.mlp.fc_in.bias"] = matrix(inner)
        weights[f"{name}.mlp.fc_out.weight"] = matrix(hidden, inner)
        weights[f"{name}.mlp.fc_out.bias"] = matrix(hidden)
    return weights


def rounded(weights: Weights, dtype: DType) -> Weights:
    """What remains of the weights when they are stored in a format."""
    result = {}
    for name, value in weights.items():
        stored = np.empty(value.shape, dtype.numpy)
        cast(value, DType.FP32, stored, dtype)
        result[name] = np.empty(value.shape, np.float32)
        cast(stored, dtype, result[name], DType.FP32)
    return result


def write_folder(
    folder: Path,
    shape: Shape,
    weights: Weights,
    *,
    tensor_parallel: int = 1,
    dtype: DType = DType.FP32,
) -> Path:
    """Write config.ini and the *.bin files, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.ini").write_text(
        "[gptj]\n"
        "model_name = random\n"
        f"head_num = {shape.heads}\n"
        f"size_per_head = {shape.head_size}\n"
        f"inter_size = {shape.inner}\n"
        f"num_layer = {shape.layers}\n"
        f"vocab_size = {shape.vocabulary}\n"
        f"rotary_embedding = {shape.rotary}\n"
        "start_id = 1\n"
        "end_id = 2\n"
        f"weight_data_type = {dtype}\n"
    )

    def write(name: str, value: NDArray[np.float32]) -> None:
        stored = np.empty(value.shape, dtype.numpy)
        cast(value, DType.FP32, stored, dtype)
        stored.tofile(folder / f"{name}.bin")

    def write_parts(name: str, value: NDArray[np.float32], axis: int) -> None:
        for rank, part in enumerate(np.split(value, tensor_parallel, axis=axis)):
            write(f"{name}.{rank}", part)

    write("model.wte", weights["transformer.wte.weight"])
    write("model.final_layernorm.weight", weights["transformer.ln_f.weight"])
    write("model.final_layernorm.bias", weights["transformer.ln_f.bias"])
    write("model.lm_head.weight", weights["lm_head.weight"])
    write("model.lm_head.bias", weights["lm_head.bias"])
    for layer in range(shape.layers):
        source, target = f"transformer.h.{layer}", f"model.layers.{layer}"
        write(f"{target}.input_layernorm.weight", weights[f"{source}.ln_1.weight"])
        write(f"{target}.input_layernorm.bias", weights[f"{source}.ln_1.bias"])
        projections = [weights[f"{source}.attn.{x}_proj.weight"].T for x in "qkv"]
        write_parts(f"{target}.attention.query_key_value.weight", np.stack(projections, axis=1), 2)
        write_parts(
            f"{target}.attention.dense.weight", weights[f"{source}.attn.out_proj.weight"].T, 0
        )
        write_parts(
            f"{target}.mlp.dense_h_to_4h.weight", weights[f"{source}.mlp.fc_in.weight"].T, 1
        )
        write_parts(f"{target}.mlp.dense_h_to_4h.bias", weights[f"{source}.mlp.fc_in.bias"], 0)
        write_parts(
            f"{target}.mlp.dense_4h_to_h.weight", weights[f"{source}.mlp.fc_out.weight"].T, 0
        )
        write(f"{target}.mlp.dense_4h_to_h.bias", weights[f"{source}.mlp.fc_out.bias"])
    return folder
