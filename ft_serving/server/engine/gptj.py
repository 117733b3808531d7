"""GPT-J on a CPU: its weight files, and its layers in numpy.

Files are named and cut by `src/fastertransformer/models/gptj/GptJWeight.cc` and
`GptJDecoderLayerWeight.cc`. All matrices of a layer are stored [in, out]; the embedding and the
output head are [vocabulary, hidden].
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from ft_serving.core.arrays import FloatArray, IndexArray
from ft_serving.core.families.architecture import Architecture
from ft_serving.server.engine.config import WeightsConfig
from ft_serving.server.engine.linear import Linear
from ft_serving.server.engine.numpy_layers import Activations
from ft_serving.server.engine.numpy_ops import LayerNorm, add_bias_gelu, rotary_table
from ft_serving.server.engine.weight_files import WeightFiles

_FIRST_POSITIONS = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerWeights:
    """One layer; H is the hidden size, I the feed-forward width.

    Attributes:
        norm_weight: [H].
        norm_bias: [H].
        qkv: [H, 3H]; columns are q, k, v, each of whole consecutive heads.
        attention_out: [H, H].
        up: [H, I].
        up_bias: [I].
        down: [I, H].
        down_bias: [H].
    """

    norm_weight: FloatArray
    norm_bias: FloatArray
    qkv: FloatArray
    attention_out: FloatArray
    up: FloatArray
    up_bias: FloatArray
    down: FloatArray
    down_bias: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class GptJWeights:
    """A whole model; H is the hidden size, V the vocabulary.

    Attributes:
        embedding: [V, H].
        layers: From the first to the last.
        norm_weight: [H], of the last LayerNorm.
        norm_bias: [H].
        head: [V, H], the output head.
        head_bias: [V].
    """

    embedding: FloatArray
    layers: tuple[LayerWeights, ...]
    norm_weight: FloatArray
    norm_bias: FloatArray
    head: FloatArray
    head_bias: FloatArray

    @property
    def nbytes(self) -> int:
        """The memory that they take."""
        own = (self.embedding, self.norm_weight, self.norm_bias, self.head, self.head_bias)
        layers = (getattr(layer, one.name) for layer in self.layers for one in fields(layer))
        return sum(array.nbytes for array in (*own, *layers))


def open_weights(folder: Path, config: WeightsConfig, tensor_parallel: int) -> GptJWeights:
    """Open every weight file of a folder as whole fp32 matrices, in memory.

    Args:
        folder: Holds the *.bin files.
        config: What config.ini says of them.
        tensor_parallel: Parts that each split matrix was cut into when it was converted.

    Raises:
        ServerError: `tensor_parallel` does not divide the model, or files are missing or
            have another size than the model's numbers ask for; all of them are named.
    """
    files = WeightFiles(folder, config, tensor_parallel)
    numbers = config.architecture
    hidden, inner, vocabulary = numbers.hidden, numbers.inner, numbers.vocabulary
    layers = []
    for index in range(numbers.layers):
        name = f"model.layers.{index}"
        qkv = files.joined(f"{name}.attention.query_key_value.weight", (hidden, 3, hidden), axis=2)
        layers.append(
            LayerWeights(
                norm_weight=files.whole(f"{name}.input_layernorm.weight", (hidden,)),
                norm_bias=files.whole(f"{name}.input_layernorm.bias", (hidden,)),
                qkv=qkv.reshape(hidden, 3 * hidden),
                attention_out=files.joined(
                    f"{name}.attention.dense.weight", (hidden, hidden), axis=0
                ),
                up=files.joined(f"{name}.mlp.dense_h_to_4h.weight", (hidden, inner), axis=1),
                up_bias=files.joined(f"{name}.mlp.dense_h_to_4h.bias", (inner,), axis=0),
                down=files.joined(f"{name}.mlp.dense_4h_to_h.weight", (inner, hidden), axis=0),
                down_bias=files.whole(f"{name}.mlp.dense_4h_to_h.bias", (hidden,)),
            )
        )
    weights = GptJWeights(
        embedding=files.whole("model.wte", (vocabulary, hidden)),
        layers=tuple(layers),
        norm_weight=files.whole("model.final_layernorm.weight", (hidden,)),
        norm_bias=files.whole("model.final_layernorm.bias", (hidden,)),
        head=files.whole("model.lm_head.weight", (vocabulary, hidden)),
        head_bias=files.whole("model.lm_head.bias", (vocabulary,)),
    )
    files.raise_problems()
    return weights


class _Layer:
    """The operators of one layer."""

    def __init__(self, weights: LayerWeights, epsilon: float) -> None:
        self.norm = LayerNorm(weights.norm_weight, weights.norm_bias, epsilon)
        self.qkv = Linear(weights.qkv)
        self.attention_out = Linear(weights.attention_out)
        self.up = Linear(weights.up)
        self.up_bias = weights.up_bias
        self.down = Linear(weights.down)
        self.down_bias = weights.down_bias


class GptJLayers:
    """Implements `ft_serving.server.engine.numpy_layers.NumpyLayers`.

    Args:
        architecture: The model's numbers.
        weights: Its weights.
        layer_norm_epsilon: FasterTransformer's constant for GPT-J (`GptJ.h`); the published
            models were trained with 1e-5, which Hugging Face uses.
    """

    def __init__(
        self, architecture: Architecture, weights: GptJWeights, layer_norm_epsilon: float = 1e-6
    ) -> None:
        self.architecture = architecture
        self.embedding = weights.embedding
        self.weight_bytes = weights.nbytes
        self._layers = [_Layer(layer, layer_norm_epsilon) for layer in weights.layers]
        self._norm = LayerNorm(weights.norm_weight, weights.norm_bias, layer_norm_epsilon)
        self._head = Linear(weights.head.T)
        self._head_bias = weights.head_bias
        self._scale = np.float32(1 / math.sqrt(architecture.head_size))
        self._rotations = rotary_table(_FIRST_POSITIONS, architecture.rotary)

    @classmethod
    def open(cls, folder: Path, config: WeightsConfig, tensor_parallel: int) -> Self:
        """Open a folder of weights; see `open_weights`."""
        return cls(config.architecture, open_weights(folder, config, tensor_parallel))

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
        rotations = self._rotated_to(int(positions.max()) + 1)[positions][:, None, None]
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
            add_bias_gelu(b.inner, layer.up_bias, b.inner_scratch)
            yield
            multiply(layer.down, b.inner, b.branch)
            np.add(b.residual, b.branch, out=b.residual)
            np.add(b.residual, layer.down_bias, out=b.residual)
            yield

    def logits(self, hidden: FloatArray) -> FloatArray:
        """Return the logits of hidden values; see `NumpyLayers.logits`."""
        normed = np.empty_like(hidden)
        self._norm.apply(hidden, normed, np.empty((len(hidden), 1), np.float32))
        logits = np.empty((len(hidden), self.architecture.vocabulary), np.float32)
        self._head.few(normed, logits)
        np.add(logits, self._head_bias, out=logits)
        return logits

    def _rotated_to(self, positions: int) -> npt.NDArray[np.complex64]:
        """Return the rotations of at least the first `positions` positions."""
        table = self._rotations
        if len(table) < positions:
            # A wanted length may never be reached, so the table grows with the text.
            size = 1 << (positions - 1).bit_length()
            table = self._rotations = rotary_table(size, self.architecture.rotary)
        return table
