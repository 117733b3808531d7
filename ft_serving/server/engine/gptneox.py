"""GPT-NeoX's layers in numpy."""

import math
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np

from ft_serving.core.arrays import FloatArray, IndexArray
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.gptneox import NeoXArchitecture
from ft_serving.server.engine.linear import Linear
from ft_serving.server.engine.numpy_ops import (
    GELU_EXACT,
    GELU_TANH,
    Activations,
    LayerNorm,
    NumpyLayers,
    Rotations,
    add_bias_gelu,
)

# FasterTransformer's constant for GPT-NeoX (`GptNeoX.h`), which the published models have, too.
_EPSILON = 1e-5


class _Layer:
    """The operators of one layer."""

    def __init__(
        self, weights: dict[str, FloatArray], index: int, architecture: NeoXArchitecture
    ) -> None:
        def of(name: str) -> FloatArray:
            # What is copied need not stay.
            return weights.pop(f"model.layers.{index}.{name}")

        def norm(name: str) -> LayerNorm:
            return LayerNorm(of(f"{name}.weight"), of(f"{name}.bias"), _EPSILON)

        self.norm = norm("input_layernorm")
        self.second_norm = norm("post_attention_layernorm")
        qkv = _for_attention(of("attention.query_key_value.weight"), architecture)
        self.qkv = Linear(qkv.reshape(len(qkv), -1))
        self.qkv_bias = _for_attention(of("attention.query_key_value.bias"), architecture).ravel()
        self.attention_out = Linear(of("attention.dense.weight"))
        self.up = Linear(of("mlp.dense_h_to_4h.weight"))
        self.up_bias = of("mlp.dense_h_to_4h.bias")
        self.down = Linear(of("mlp.dense_4h_to_h.weight"))
        if architecture.parallel_residual:
            # Of both branches.
            self.bias = of("mlp.attention.bias.sum")
        else:
            self.attention_bias = of("attention.dense.bias")
            self.bias = of("mlp.dense_4h_to_h.bias")


class GptNeoXLayers(NumpyLayers):
    """The operators of a GPT-NeoX; see `NumpyLayers`. Takes layers' weights out of `weights`."""

    def __init__(self, architecture: Architecture, weights: dict[str, FloatArray]) -> None:
        super().__init__(architecture, weights, _EPSILON)
        numbers = cast("NeoXArchitecture", architecture)
        self._layers = [_Layer(weights, index, numbers) for index in range(numbers.layers)]
        self._rotations = Rotations(numbers.rotary, numbers.rotary_base)
        self._gelu = GELU_EXACT if numbers.exact_gelu else GELU_TANH
        self._is_parallel = numbers.parallel_residual

    def run_layers(
        self,
        buffers: Activations,
        positions: IndexArray,
        multiply: Callable[[Linear, FloatArray, FloatArray], None],
        attend: Callable[[int], Iterator[None]],
    ) -> Iterator[None]:
        """Send the residual stream through all layers; see `NumpyLayers.run_layers`.

        With the parallel residual, the feed-forward layer reads the layer's input, as attention
        does, and not the sum of that and attention's result (`GptNeoXDecoder.cc`).
        """
        b = buffers
        rotations = self._rotations.at(positions)
        for index, layer in enumerate(self._layers):
            layer.norm.apply(b.residual, b.normed, b.scratch)
            multiply(layer.qkv, b.normed, b.qkv)
            np.add(b.qkv, layer.qkv_bias, out=b.qkv)
            np.multiply(b.rotated, rotations, out=b.rotated)
            yield
            yield from attend(index)
            multiply(layer.attention_out, b.context, b.branch)
            if self._is_parallel:
                layer.second_norm.apply(b.residual, b.normed, b.scratch)
                np.add(b.residual, b.branch, out=b.residual)
            else:
                np.add(b.residual, b.branch, out=b.residual)
                np.add(b.residual, layer.attention_bias, out=b.residual)
                layer.second_norm.apply(b.residual, b.normed, b.scratch)
            yield
            multiply(layer.up, b.normed, b.inner)
            add_bias_gelu(b.inner, layer.up_bias, self._gelu, b.inner_scratch)
            yield
            multiply(layer.down, b.inner, b.branch)
            np.add(b.residual, b.branch, out=b.residual)
            np.add(b.residual, layer.bias, out=b.residual)
            yield


def _for_attention(qkv: FloatArray, architecture: NeoXArchitecture) -> FloatArray:
    """Return queries, keys and values as attention takes them.

    GPT-NeoX rotates value i of a head's first half with value i of its second half. Both are put
    side by side, as `Rotations` has them, in queries as in keys: their products stay the same. The
    products' scale is put into the queries.

    Args:
        qkv: A matrix or a bias, [..., queries, keys and values, hidden].
        architecture: The model's numbers.
    """
    taken = qkv.copy()
    width = architecture.rotary
    heads = (*qkv.shape[:-1], architecture.heads, architecture.head_size)
    rotated, given = (each.reshape(heads)[..., :2, :, :width] for each in (taken, qkv))
    rotated[..., 0::2] = given[..., : width // 2]
    rotated[..., 1::2] = given[..., width // 2 :]
    taken[..., 0, :] *= np.float32(1 / math.sqrt(architecture.head_size))
    return taken
