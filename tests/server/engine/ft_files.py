"""Random GPT-J models: as Hugging Face names their weights, and as FasterTransformer's files.

Independent of the product's table of files: written from FasterTransformer's layout.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft_serving.core.arrays import cast
from ft_serving.core.dtypes import DType
from tests.weights.models import shapes

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
    sizes = shapes(
        {
            "n_embd": shape.hidden,
            "n_inner": shape.inner,
            "n_layer": shape.layers,
            "vocab_size": shape.vocabulary,
        }
    )
    return {
        name: (generator.standard_normal(size) * 0.15 + (".ln_" in name and "weight" in name))
        .astype(np.float32)
        for name, size in sizes.items()
    }  # fmt: skip


def rounded(weights: Weights, dtype: DType) -> Weights:
    """The weights as they are after being stored in a format."""
    result = {}
    for name, value in weights.items():
        result[name] = np.empty(value.shape, np.float32)
        cast(_stored(value, dtype), dtype, result[name], DType.FP32)
    return result


def files_of(weights: Weights, layers: int) -> dict[str, tuple[NDArray[np.float32], int | None]]:
    """FasterTransformer's arrays by the names of their files, and the axis that ranks split."""
    found: dict[str, tuple[NDArray[np.float32], int | None]] = {
        "model.wte": (weights["transformer.wte.weight"], None),
        "model.final_layernorm.weight": (weights["transformer.ln_f.weight"], None),
        "model.final_layernorm.bias": (weights["transformer.ln_f.bias"], None),
        "model.lm_head.weight": (weights["lm_head.weight"], None),
        "model.lm_head.bias": (weights["lm_head.bias"], None),
    }
    for layer in range(layers):
        of, to = f"transformer.h.{layer}", f"model.layers.{layer}"
        q, k, v = (weights[f"{of}.attn.{letter}_proj.weight"].T for letter in "qkv")
        found |= {
            f"{to}.input_layernorm.weight": (weights[f"{of}.ln_1.weight"], None),
            f"{to}.input_layernorm.bias": (weights[f"{of}.ln_1.bias"], None),
            f"{to}.attention.query_key_value.weight": (np.stack([q, k, v], axis=1), 2),
            f"{to}.attention.dense.weight": (weights[f"{of}.attn.out_proj.weight"].T, 0),
            f"{to}.mlp.dense_h_to_4h.weight": (weights[f"{of}.mlp.fc_in.weight"].T, 1),
            f"{to}.mlp.dense_h_to_4h.bias": (weights[f"{of}.mlp.fc_in.bias"], 0),
            f"{to}.mlp.dense_4h_to_h.weight": (weights[f"{of}.mlp.fc_out.weight"].T, 0),
            f"{to}.mlp.dense_4h_to_h.bias": (weights[f"{of}.mlp.fc_out.bias"], None),
        }
    return found


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
    for name, (array, axis) in files_of(weights, shape.layers).items():
        parts = {name: array}
        if axis is not None:
            split = np.split(array, tensor_parallel, axis=axis)
            parts = {f"{name}.{rank}": part for rank, part in enumerate(split)}
        for file, part in parts.items():
            _stored(part, dtype).tofile(folder / f"{file}.bin")
    return folder


def _stored(value: NDArray[np.float32], dtype: DType) -> NDArray[Any]:
    stored = np.empty(value.shape, dtype.numpy)
    cast(value, DType.FP32, stored, dtype)
    return stored
