"""Reads a release's weight files back into the names and shapes that they came from.

Independent of the converter: written from FasterTransformer's layout only.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def read_back(folder: Path, *, layers: int, hidden: int, ranks: int) -> dict[str, Array]:
    """Return Hugging Face's tensors of a GPT-J, joined from the fp32 files of all ranks.

    Args:
        folder: Holds the *.bin files.
        layers: Number of layers.
        hidden: Width of the residual stream.
        ranks: Tensor parallel size.
    """

    def whole(name: str, *shape: int) -> Array:
        return np.fromfile(folder / f"{name}.bin", "<f4").reshape(shape)

    def parts(name: str, *shape: int) -> list[Array]:
        return [whole(f"{name}.{rank}", *shape) for rank in range(ranks)]

    result = {
        "transformer.wte.weight": whole("model.wte", -1, hidden),
        "transformer.ln_f.weight": whole("model.final_layernorm.weight", hidden),
        "transformer.ln_f.bias": whole("model.final_layernorm.bias", hidden),
        "lm_head.weight": whole("model.lm_head.weight", -1, hidden),
        "lm_head.bias": whole("model.lm_head.bias", -1),
    }
    for layer in range(layers):
        ft, hf = f"model.layers.{layer}", f"transformer.h.{layer}"
        qkv = parts(f"{ft}.attention.query_key_value.weight", hidden, 3, hidden // ranks)
        joined = np.concatenate(qkv, axis=2)
        result |= {
            f"{hf}.attn.{letter}_proj.weight": joined[:, index].T
            for index, letter in enumerate("qkv")
        }
        dense = parts(f"{ft}.attention.dense.weight", hidden // ranks, hidden)
        fc_in = parts(f"{ft}.mlp.dense_h_to_4h.weight", hidden, -1)
        fc_out = parts(f"{ft}.mlp.dense_4h_to_h.weight", -1, hidden)
        fc_in_bias = parts(f"{ft}.mlp.dense_h_to_4h.bias", -1)
        result |= {
            f"{hf}.ln_1.weight": whole(f"{ft}.input_layernorm.weight", hidden),
            f"{hf}.ln_1.bias": whole(f"{ft}.input_layernorm.bias", hidden),
            f"{hf}.attn.out_proj.weight": np.concatenate(dense, axis=0).T,
            f"{hf}.mlp.fc_in.weight": np.concatenate(fc_in, axis=1).T,
            f"{hf}.mlp.fc_in.bias": np.concatenate(fc_in_bias),
            f"{hf}.mlp.fc_out.weight": np.concatenate(fc_out, axis=0).T,
            f"{hf}.mlp.fc_out.bias": whole(f"{ft}.mlp.dense_4h_to_h.bias", hidden),
        }
    return result
