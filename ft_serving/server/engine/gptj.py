"""GPT-J's layers in numpy."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ft_serving.core.arrays import FloatArray, IndexArray
from ft_serving.core.families.architecture import Architecture
from ft_serving.server.engine.linear import Linear
from ft_serving.server.engine.numpy_ops import (
    GELU_TANH,
    Activations,
    LayerNorm,
    NumpyLayers,
    Rotations,
    add_bias_gelu,
)

# FasterTransformer's constant for GPT-J (`GptJ.h`); the published models were trained with 1e-5,
# which Hugging Face uses.
_EPSILON = 1e-6


class _Layer:
    """The operators of one layer."""

    def __init__(self, weights: Mapping[str, FloatArray], index: int) -> None:
        def of(name: str) -> FloatArray:
            return weights[f"model.layers.{index}.{name}"]

        self.norm = LayerNorm(of("input_layernorm.weight"), of("input_layernorm.bias"), _EPSILON)
        # Columns are q, k, v, each of whole consecutive heads.
        qkv = of("attention.query_key_value.weight")
        self.qkv = Linear(qkv.reshape(len(qkv), -1))
        self.attention_out = Linear(of("attention.dense.weight"))
        self.up = Linear(of("mlp.dense_h_to_4h.weight"))
        self.up_bias = of("mlp.dense_h_to_4h.bias")
        self.down = Linear(of("mlp.dense_4h_to_h.weight"))
        self.down_bias = of("mlp.dense_4h_to_h.bias")


class GptJLayers(NumpyLayers):
    """The operators of a GPT-J; for the arguments see `NumpyLayers`."""

    def __init__(self, architecture: Architecture, weights: Mapping[str, FloatArray]) -> None:
        super().__init__(architecture, weights, _EPSILON)
        self._layers = [_Layer(weights, index) for index in range(architecture.layers)]
        self._scale = np.float32(1 / math.sqrt(architecture.head_size))
        self._rotations = Rotations(architecture.rotary)

    def run_layers(
        self,
        buffers: Activations,
        positions: IndexArray,
        multiply: Callable[[Linear, FloatArray, FloatArray], None],
        attend: Callable[[int], Iterator[None]],
    ) -> Iterator[None]:
        """Send the residual stream through all layers; see `NumpyLayers.run_layers`.

        Attention and feed-forward read one and the same LayerNorm and are added side by side
        (`GptJDecoder.cc`).
        """
        b = buffers
        rotations = self._rotations.at(positions)
        for index, layer in enumerate(self._layers):
            layer.norm.apply(b.residual, b.normed, b.scratch)
            multiply(layer.qkv, b.normed, b.qkv)
            np.multiply(b.rotated, rotations, out=b.rotated)
            np.multiply(b.query, self._scale, out=b.query)
            yield
            yield from attend(index)
            multiply(layer.attention_out, b.context, b.branch)
            np.add(b.residual, b.branch, out=b.residual)
            yield
            multiply(layer.up, b.normed, b.inner)
            add_bias_gelu(b.inner, layer.up_bias, GELU_TANH, b.inner_scratch)
            yield
            multiply(layer.down, b.inner, b.branch)
            np.add(b.residual, b.branch, out=b.residual)
            np.add(b.residual, layer.down_bias, out=b.residual)
            yield
