"""One more token for all rows that a numpy model computes together.

A row gets the same bits whatever the batch: each of its products, sums and exponentials has a
shape that depends on that row alone (see `linear.py`), and rows attend unpadded, together with
those of the same length only.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ft_serving.core.arrays import FloatArray, TokenArray
from ft_serving.server.engine.linear import Linear
from ft_serving.server.engine.numpy_block import NumpyBlock
from ft_serving.server.engine.numpy_layers import Activations, NumpyLayers
from ft_serving.server.engine.numpy_ops import softmax


class _Group:
    """The rows of a block within the buffers of a batch; they attend in one operation."""

    def __init__(self, buffers: Activations, block: NumpyBlock, rows: slice) -> None:
        self._block = block
        self._cache = block.cache[:, : block.rows]
        self.query = buffers.query[rows][:, :, None]
        self.key_value = buffers.key_value[rows]
        self.context = buffers.context_heads[rows][:, :, None]
        count, heads, capacity = block.rows, self._cache.shape[3], self._cache.shape[4]
        self._scores = np.empty(count * heads * capacity, np.float32)
        self._scores_shape = (count, heads, 1)
        self.scratch = np.empty((count, heads, 1, 1), np.float32)

    def extend(self) -> None:
        """Make room for the keys and values of one more token."""
        new = self._block.length
        self._block.length = length = new + 1
        self.new_key_value = self._cache[:, :, :, :, new]
        self.keys = self._cache[:, :, 0, :, :length].swapaxes(-1, -2)
        self.values = self._cache[:, :, 1, :, :length]
        # Contiguous, so that the exponential takes the same path for every row.
        shape = (*self._scores_shape, length)
        self.scores = self._scores[: math.prod(shape)].reshape(shape)


class NumpyBatch:
    """Implements `ft_serving.server.engine.model.Batch`.

    Args:
        layers: The operators of the model to compute.
        blocks: The rows, with their prompts behind them.
    """

    def __init__(self, layers: NumpyLayers, blocks: Sequence[NumpyBlock]) -> None:
        self._layers = layers
        counts = [block.rows for block in blocks]
        edges = list(itertools.accumulate(counts, initial=0))
        self._buffers = Activations(layers.architecture, edges[-1])
        self._positions = np.repeat([block.length for block in blocks], counts)
        self._groups = [
            _Group(self._buffers, block, slice(*edge))
            for block, edge in zip(blocks, itertools.pairwise(edges), strict=True)
        ]

    @np.errstate(over="ignore")
    def step(self, tokens: TokenArray) -> FloatArray:
        """Append one token to each row; see `Batch.step`."""
        for group in self._groups:
            group.extend()
        residual = self._buffers.residual
        np.take(self._layers.embedding, tokens, axis=0, out=residual, mode="clip")
        pieces = self._layers.run_layers(self._buffers, self._positions, Linear.few, self._attend)
        for _ in pieces:
            pass
        self._positions += 1
        return self._layers.logits(residual)

    def _attend(self, layer: int) -> Iterator[None]:
        """Store the new token of each row and let it attend to all before it and itself."""
        for group in self._groups:
            np.copyto(group.new_key_value[layer], group.key_value)
            np.matmul(group.query, group.keys[layer], out=group.scores)
            softmax(group.scores, group.scratch)
            np.matmul(group.scores, group.values[layer], out=group.context)
        return iter(())
