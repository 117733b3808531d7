"""Rows of one length, as a numpy model keeps and starts them."""

from collections.abc import Iterator

import numpy as np

from ft_serving.core.arrays import FloatArray, IndexArray, TokenArray
from ft_serving.server.engine.linear import Linear
from ft_serving.server.engine.numpy_layers import Activations, NumpyLayers
from ft_serving.server.engine.numpy_ops import softmax
from ft_serving.server.engine_memory import QUERY_TOKENS

_DONE = object()

_FUTURE = np.triu(np.full((QUERY_TOKENS, QUERY_TOKENS), -np.inf, np.float32), k=1)


class NumpyBlock:
    """Implements `ft_serving.server.engine.model.Block`.

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
        """Compute the prompt of a row; see `Block.prefill`.

        Prompts are not computed together, though that would be faster for short ones: what a
        matrix product gives for a row depends on its place among the others. For the same reason
        a piece is a part of a layer for the whole prompt, and not a part of the prompt.
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
        """Go on with these rows, in this order; see `Block.select`."""
        moved = np.flatnonzero(rows != np.arange(len(rows)))
        # Layer by layer, because what is moved is copied twice.
        for cache in self.cache[:, :, :, :, : self.length]:
            cache[moved] = cache[rows[moved]]
        self._last = self._last[rows]
        self.rows = len(rows)

    def logits(self) -> FloatArray:
        """Return the logits behind the prompts; see `Block.logits`."""
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
