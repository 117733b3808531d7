"""Rows of text that a numpy model starts, keeps and gives one more token.

A row gets the same bits whatever the batch: each of its products, sums and exponentials has a
shape that depends on that row only (see `linear.py`), and rows attend unpadded, together with
those of the same length only.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ft_serving.core.arrays import FloatArray, IndexArray, TokenArray
from ft_serving.server.engine.linear import Linear
from ft_serving.server.engine.numpy_ops import Activations, NumpyLayers, softmax
from ft_serving.server.engine_memory import QUERY_TOKENS

_DONE = object()

_FUTURE = np.triu(np.full((QUERY_TOKENS, QUERY_TOKENS), -np.inf, np.float32), k=1)


class NumpyBlock:
    """Rows of text of one length, with their keys and values so far.

    Args:
        layers: The operators of the model to compute.
        rows: The block will never have more.
        capacity: Tokens that a row may grow to, prompt included.

    Attributes:
        rows: How many rows there are.
        length: Tokens of each of them so far.
        cache: [layers, rows, keys and values, heads, capacity, head size], filled up to `length`.
    """

    def __init__(self, layers: NumpyLayers, rows: int, capacity: int) -> None:
        architecture = layers.architecture
        self.rows = rows
        self.length = 0
        # Pages that texts never grow to are not written, and so cost no memory.
        self.cache = np.empty(
            (architecture.layers, rows, 2, architecture.heads, capacity, architecture.head_size),
            np.float32,
        )
        self._layers = layers
        self._last = np.zeros((rows, architecture.hidden), np.float32)
        self._rows_by_prompt: dict[bytes, int] = {}

    def prefill(self, row: int, prompt: TokenArray) -> Iterator[None]:
        """Compute the prompt of a row, piece by piece; each row once, all of one length.

        Prompts are not computed together, though that would be faster for short ones: what a
        matrix product gives for a row depends on its place among the others. For the same reason
        a piece is a part of a layer for the whole prompt, and not a part of the prompt.

        Yields:
            After each piece, which takes about as long as a token of a few rows. A prompt that is
            not computed to its end leaves the row as it is, for the caller to drop.
        """
        self.length = len(prompt)
        first = self._rows_by_prompt.get(prompt.tobytes())
        if first is not None:
            self.cache[:, row, :, :, : self.length] = self.cache[:, first, :, :, : self.length]
            self._last[row] = self._last[first]
            yield
            return
        buffers = Activations(self._layers.architecture, len(prompt))
        buffers.residual[:] = self._layers.embedding[prompt]

        def attend(layer: int) -> Iterator[None]:
            return _attend(buffers, self.cache[layer, row, :, :, : len(prompt)])

        pieces = self._layers.run_layers(buffers, np.arange(len(prompt)), Linear.many, attend)
        while True:
            # Not around the whole: what is computed in between has rules of its own.
            with np.errstate(over="ignore"):
                if next(pieces, _DONE) is _DONE:
                    break
            yield
        self._last[row] = buffers.residual[-1]
        self._rows_by_prompt[prompt.tobytes()] = row

    def select(self, rows: IndexArray) -> None:
        """Go on with these rows, in this order; a row named twice is doubled."""
        moved = np.flatnonzero(rows != np.arange(len(rows)))
        # Layer by layer, because what is moved is copied twice.
        for cache in self.cache[:, :, :, :, : self.length]:
            cache[moved] = cache[rows[moved]]
        self._last = self._last[rows]
        self.rows = len(rows)

    def logits(self) -> FloatArray:
        """Return the logits behind the prompts, [rows, vocabulary], the caller's to change."""
        return self._layers.logits(self._last[: self.rows])


def _attend(buffers: Activations, cache: FloatArray) -> Iterator[None]:
    """Store a prompt and let it attend to itself.

    Args:
        buffers: Of the prompt's tokens.
        cache: [keys and values, heads, prompt, head size], filled here.
    """
    cache[:] = buffers.key_value.transpose(1, 2, 0, 3)
    keys, values = cache
    query = buffers.query.swapaxes(0, 1)
    context = buffers.context_heads.swapaxes(0, 1)
    length = query.shape[1]
    for begin in range(0, length, QUERY_TOKENS):
        end = min(begin + QUERY_TOKENS, length)
        scores = np.matmul(query[:, begin:end], keys[:, :end].swapaxes(1, 2))
        scores[:, :, begin:] += _FUTURE[: end - begin, : end - begin]
        softmax(scores, np.empty((*scores.shape[:2], 1), np.float32))
        np.matmul(scores, values[:, :end], out=context[:, begin:end])
        # Else the next would be made beside them.
        del scores
        yield


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
    """Blocks whose rows are computed together, until rows are selected in one of them.

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
        """Append one token to each row of all blocks, [rows].

        Returns:
            Logits of each row's next token, [rows, vocabulary]; the caller's to change.
        """
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
