"""The layers of a GPT-J in numpy, and what stands before and after them."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ft_serving.server.arrays import FloatArray, IndexArray
from ft_serving.server.engine.config import GptJConfig
from ft_serving.server.engine.linear import Linear
from ft_serving.server.engine.numpy_ops import LayerNorm, add_bias_gelu, rotary_table
from ft_serving.server.engine.weights import GptJWeights, LayerWeights

_FIRST_POSITIONS = 2048


class Activations:
    """Buffers for `rows` tokens, and the views of them that attention needs."""

    def __init__(self, config: GptJConfig, rows: int) -> None:
        hidden, heads, size = config.hidden, config.head_num, config.size_per_head
        self.residual = np.empty((rows, hidden), np.float32)
        self.normed = np.empty((rows, hidden), np.float32)
        self.scratch = np.empty((rows, 1), np.float32)
        self.qkv = np.empty((rows, 3 * hidden), np.float32)
        self.context = np.empty((rows, hidden), np.float32)
        self.branch = np.empty((rows, hidden), np.float32)
        self.inner = np.empty((rows, config.inter_size), np.float32)
        self.inner_scratch = np.empty((rows, config.inter_size), np.float32)
        split = self.qkv.reshape(rows, 3, heads, size)
        self.rotated = split[:, :2, :, : config.rotary_embedding].view(np.complex64)
        self.query = split[:, 0]
        self.key_value = split[:, 1:]
        self.context_heads = self.context.reshape(rows, heads, size)


class NumpyLayer:
    """The operators of one layer."""

    def __init__(self, weights: LayerWeights, epsilon: float) -> None:
        self.norm = LayerNorm(weights.norm_weight, weights.norm_bias, epsilon)
        self.qkv = Linear(weights.qkv)
        self.attention_out = Linear(weights.attention_out)
        self.up = Linear(weights.up)
        self.up_bias = weights.up_bias
        self.down = Linear(weights.down)
        self.down_bias = weights.down_bias


class NumpyLayers:
    """All operators of a model, over whole fp32 matrices.

    Args:
        config: The model's numbers.
        weights: Its weights.
        layer_norm_epsilon: FasterTransformer's constant for GPT-J (`GptJ.h`); the published
            models were trained with 1e-5, which Hugging Face uses.
    """

    def __init__(self, config: GptJConfig, weights: GptJWeights, layer_norm_epsilon: float) -> None:
        self.config = config
        self.embedding = weights.embedding
        self._layers = [NumpyLayer(layer, layer_norm_epsilon) for layer in weights.layers]
        self._norm = LayerNorm(weights.norm_weight, weights.norm_bias, layer_norm_epsilon)
        self._head = Linear(weights.head.T)
        self._head_bias = weights.head_bias
        self._scale = np.float32(1 / math.sqrt(config.size_per_head))
        self._rotations = rotary_table(_FIRST_POSITIONS, config.rotary_embedding)

    def run_layers(
        self,
        buffers: Activations,
        positions: IndexArray,
        multiply: Callable[[Linear, FloatArray, FloatArray], None],
        attend: Callable[[int], Iterator[None]],
    ) -> Iterator[None]:
        """Send the residual stream through all layers, piece by piece.

        Attention and feed-forward read one and the same LayerNorm and are added side by side
        (`GptJDecoder.cc`).

        Args:
            buffers: Of the tokens, whose embeddings are in `residual`.
            positions: [tokens], of each in its text.
            multiply: Multiplies the tokens by a matrix.
            attend: Fills `context` in a layer, piece by piece.

        Yields:
            After each piece: attention to some tokens, or a product with one matrix.
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
        """Return the logits of hidden values [rows, hidden], [rows, vocabulary]."""
        normed = np.empty_like(hidden)
        self._norm.apply(hidden, normed, np.empty((len(hidden), 1), np.float32))
        logits = np.empty((len(hidden), self.config.vocab_size), np.float32)
        self._head.few(normed, logits)
        np.add(logits, self._head_bias, out=logits)
        return logits

    def _rotated_to(self, positions: int) -> npt.NDArray[np.complex64]:
        """Return the rotations of at least the first `positions` positions."""
        table = self._rotations
        if len(table) < positions:
            # A wanted length may never be reached, so the table grows with the text.
            size = 1 << (positions - 1).bit_length()
            table = self._rotations = rotary_table(size, self.config.rotary_embedding)
        return table
