"""The rows that a numpy GPT-J computes together.

A row gets the same bits whatever the batch: each of its products, sums and exponentials has a
shape that depends on that row alone (see `linear.py`), and rows attend unpadded, together with
those of the same length only.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ft_serving.engine.arrays import FloatArray, IndexArray, TokenArray
from ft_serving.engine.errors import MemoryLimitError
from ft_serving.engine.linear import Linear
from ft_serving.engine.memory import memory_limit
from ft_serving.engine.numpy_ops import add_bias_gelu, softmax
from ft_serving.engine_memory import (
    ENGINE_BASE_BYTES,
    QUERY_TOKENS,
    cache_bytes,
    workspace_bytes,
)

if TYPE_CHECKING:
    from ft_serving.engine.numpy_model import NumpyModel

_FUTURE = np.triu(np.full((QUERY_TOKENS, QUERY_TOKENS), -np.inf, np.float32), k=1)


def _new_cache(model: NumpyModel, rows: int, capacity: int, longest_prompt: int) -> FloatArray:
    """Return [layers, rows, keys and values, heads, capacity, head size], not filled.

    Nothing is written, so pages that texts never grow to cost no memory. But where the system
    grants any amount, as Kubernetes has it, a request for millions of tokens would end the
    process much later; so all that the batch may come to need is compared with the limit here.
    """
    config = model.config
    needed = cache_bytes(
        layers=config.num_layer, hidden=config.hidden, rows=rows, tokens=capacity
    ) + workspace_bytes(
        hidden=config.hidden,
        inner=config.inter_size,
        heads=config.head_num,
        vocabulary=config.vocab_size,
        rows=rows,
        prompt=longest_prompt,
    )
    free = max(0, memory_limit() - model.weight_bytes - ENGINE_BASE_BYTES)
    if needed > free:
        raise MemoryLimitError(
            f"{rows} rows of {capacity} tokens need {needed / 2**30:.1f} GiB, "
            f"there are {free / 2**30:.1f} beside the model; ask for fewer rows or a smaller "
            "request_output_len"
        )
    shape = (config.num_layer, rows, 2, config.head_num, capacity, config.size_per_head)
    return np.empty(shape, np.float32)


class _Activations:
    """Buffers for `rows` tokens, and the views of them that attention needs."""

    def __init__(self, model: NumpyModel, rows: int) -> None:
        config = model.config
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


class _Group:
    """Consecutive rows of one length, which attend in one operation."""

    def __init__(self, buffers: _Activations, cache: FloatArray, rows: slice, length: int) -> None:
        self._cache = cache[:, rows]
        self._length = length
        self.query = buffers.query[rows][:, :, None]
        self.key_value = buffers.key_value[rows]
        self.context = buffers.context_heads[rows][:, :, None]
        count, heads, capacity = self._cache.shape[1], cache.shape[3], cache.shape[4]
        self._scores = np.empty(count * heads * capacity, np.float32)
        self._scores_shape = (count, heads, 1)
        self.scratch = np.empty((count, heads, 1, 1), np.float32)

    def extend(self) -> None:
        """Make room for the keys and values of one more token."""
        new, self._length = self._length, self._length + 1
        self.new_key_value = self._cache[:, :, :, :, new]
        self.keys = self._cache[:, :, 0, :, : self._length].swapaxes(-1, -2)
        self.values = self._cache[:, :, 1, :, : self._length]
        # Contiguous, so that the exponential takes the same path for every row.
        shape = (*self._scores_shape, self._length)
        self.scores = self._scores[: math.prod(shape)].reshape(shape)


class _UnwantedError(Exception):
    """Nobody waits for the row that is computed."""


class NumpyBatch:
    """Implements `ft_serving.engine.model.Batch`.

    Args:
        model: The model to compute.
        rows: The batch will never have more.
        capacity: Tokens that a row may grow to, prompt included.
        longest_prompt: Tokens of the longest prompt.

    Raises:
        MemoryLimitError: It would not fit.
    """

    def __init__(self, model: NumpyModel, rows: int, capacity: int, longest_prompt: int) -> None:
        self._model = model
        self._cache = _new_cache(model, rows, capacity, longest_prompt)
        self._scale = np.float32(1 / math.sqrt(model.config.size_per_head))
        self._lengths: list[int] = []
        self._buffers: _Activations | None = None
        self._groups: list[_Group] = []

    def prefill(
        self, prompts: Sequence[TokenArray], is_wanted: Callable[[int], bool] = lambda _: True
    ) -> FloatArray:
        """Start the rows, one a prompt of at least one token; see `Batch.prefill`."""
        self._lengths = [len(prompt) for prompt in prompts]
        last = np.zeros((len(prompts), self._model.config.hidden), np.float32)
        rows_by_prompt: dict[bytes, int] = {}
        for row, prompt in enumerate(prompts):
            first = rows_by_prompt.get(prompt.tobytes())
            if first is None:
                with contextlib.suppress(_UnwantedError):
                    last[row] = self._prefill_row(prompt, row, is_wanted)
                    rows_by_prompt[prompt.tobytes()] = row
            else:
                used = slice(0, len(prompt))
                self._cache[:, row, :, :, used] = self._cache[:, first, :, :, used]
                last[row] = last[first]
        return self._logits(last)

    def select(self, rows: IndexArray) -> None:
        """Go on with these rows, in this order; see `Batch.select`."""
        used = max(self._lengths)
        moved = np.flatnonzero(rows != np.arange(len(rows)))
        # Layer by layer, because what is moved is copied twice.
        for cache in self._cache[:, :, :, :, :used]:
            cache[moved] = cache[rows[moved]]
        self._lengths = [self._lengths[row] for row in rows]
        self._buffers = None

    def step(self, tokens: TokenArray) -> FloatArray:
        """Append one token to each row; see `Batch.step`."""
        buffers = self._buffers or self._arrange()
        for group in self._groups:
            group.extend()
        np.take(self._model.embedding, tokens, axis=0, out=buffers.residual, mode="clip")
        self._run_layers(buffers, np.array(self._lengths), Linear.few, self._attend)
        self._lengths = [length + 1 for length in self._lengths]
        return self._logits(buffers.residual)

    def _arrange(self) -> _Activations:
        """Prepare buffers and groups for the rows as they are."""
        self._buffers = buffers = _Activations(self._model, len(self._lengths))
        self._groups = []
        start = 0
        for length, members in itertools.groupby(self._lengths):
            stop = start + len(list(members))
            self._groups.append(_Group(buffers, self._cache, slice(start, stop), length))
            start = stop
        return buffers

    @np.errstate(over="ignore")
    def _run_layers(
        self,
        buffers: _Activations,
        positions: IndexArray,
        multiply: Callable[[Linear, FloatArray, FloatArray], None],
        attend: Callable[[int], None],
    ) -> None:
        """Send the residual stream through all layers.

        Attention and feed-forward read one and the same LayerNorm and are added side by side
        (`GptJDecoder.cc`).
        """
        b = buffers
        rotations = self._model.rotations(int(positions.max()) + 1)[positions][:, None, None]
        for index, layer in enumerate(self._model.layers):
            layer.norm.apply(b.residual, b.normed, b.scratch)
            multiply(layer.qkv, b.normed, b.qkv)
            np.multiply(b.rotated, rotations, out=b.rotated)
            np.multiply(b.query, self._scale, out=b.query)
            attend(index)
            multiply(layer.attention_out, b.context, b.branch)
            np.add(b.residual, b.branch, out=b.residual)
            multiply(layer.up, b.normed, b.inner)
            add_bias_gelu(b.inner, layer.up_bias, b.inner_scratch)
            multiply(layer.down, b.inner, b.branch)
            np.add(b.residual, b.branch, out=b.residual)
            np.add(b.residual, layer.down_bias, out=b.residual)

    def _attend(self, layer: int) -> None:
        """Store the new token of each row and let it attend to all before it and itself."""
        for group in self._groups:
            np.copyto(group.new_key_value[layer], group.key_value)
            np.matmul(group.query, group.keys[layer], out=group.scores)
            softmax(group.scores, group.scratch)
            np.matmul(group.scores, group.values[layer], out=group.context)

    def _prefill_row(
        self, prompt: TokenArray, row: int, is_wanted: Callable[[int], bool]
    ) -> FloatArray:
        """Fill a row's cache; return its last token's hidden values, [hidden].

        Prompts are not computed together, though that would be faster for short ones: what a
        matrix product gives for a row depends on its place among the others.

        Raises:
            _UnwantedError: The row is not wanted, or no longer.
        """
        buffers = _Activations(self._model, len(prompt))
        buffers.residual[:] = self._model.embedding[prompt]

        def attend(layer: int) -> None:
            # Here, because a layer of a long prompt takes seconds.
            if not is_wanted(row):
                raise _UnwantedError
            self._attend_prompt(buffers, self._cache[layer, row, :, :, : len(prompt)])

        self._run_layers(buffers, np.arange(len(prompt)), Linear.many, attend)
        last: FloatArray = buffers.residual[-1]
        return last

    def _attend_prompt(self, buffers: _Activations, cache: FloatArray) -> None:
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

    def _logits(self, hidden: FloatArray) -> FloatArray:
        """Return the logits of hidden values [rows, hidden], [rows, vocabulary]."""
        model = self._model
        normed = np.empty_like(hidden)
        model.norm.apply(hidden, normed, np.empty((len(hidden), 1), np.float32))
        logits = np.empty((len(hidden), model.config.vocab_size), np.float32)
        model.head.few(normed, logits)
        np.add(logits, model.head_bias, out=logits)
        return logits
