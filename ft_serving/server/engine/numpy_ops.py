"""The parts of a layer that any family computes in numpy, without allocations."""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ft_serving.core.arrays import FloatArray, IndexArray
from ft_serving.core.families.architecture import Architecture
from ft_serving.server.engine.linear import Linear

_GELU_LINEAR = np.float32(-2 * math.sqrt(2 / math.pi))
_GELU_CUBIC = np.float32(-2 * math.sqrt(2 / math.pi) * 0.044715)
_ONE = np.float32(1)


class LayerNorm:
    """Normalises rows to mean 0 and variance 1, then scales and shifts them.

    A small model's speed is its number of calls to numpy. So division by the width, the mean's
    as the variance's, is done once, here.

    Args:
        weight: [width].
        bias: [width].
        epsilon: Added to the variance.
    """

    def __init__(self, weight: FloatArray, bias: FloatArray, epsilon: float) -> None:
        width = len(weight)
        self._average = np.full(width, 1 / width, np.float32)
        self._epsilon = np.array([epsilon * width], np.float32)
        self._weight = weight * np.float32(math.sqrt(width))
        self._bias = bias

    def apply(self, rows: FloatArray, out: FloatArray, scratch: FloatArray) -> None:
        """Write the normalised `rows` to `out`.

        Args:
            rows: [rows, width].
            out: [rows, width].
            scratch: [rows, 1].
        """
        np.vecdot(rows, self._average, out=scratch[:, 0])
        np.subtract(rows, scratch, out=out)
        np.vecdot(out, out, out=scratch[:, 0])
        np.add(scratch, self._epsilon, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(out, scratch, out=out)
        np.multiply(out, self._weight, out=out)
        np.add(out, self._bias, out=out)


def add_bias_gelu(rows: FloatArray, bias: FloatArray, scratch: FloatArray) -> None:
    """Replace `rows` by gelu(rows + bias), with GELU's tanh form.

    x/2 · (1 + tanh(u)) is computed as x / (1 + exp(-2u)): fewer passes. Where the exponential
    overflows, the result is rightly zero; the caller silences that warning.

    Args:
        rows: [rows, width].
        bias: [width].
        scratch: [rows, width].
    """
    np.add(rows, bias, out=rows)
    np.multiply(rows, rows, out=scratch)
    np.multiply(scratch, _GELU_CUBIC, out=scratch)
    np.add(scratch, _GELU_LINEAR, out=scratch)
    np.multiply(scratch, rows, out=scratch)
    np.exp(scratch, out=scratch)
    np.add(scratch, _ONE, out=scratch)
    np.divide(rows, scratch, out=rows)


def softmax(scores: FloatArray, scratch: FloatArray) -> None:
    """Replace `scores` by their softmax over the last axis.

    Args:
        scores: [..., n].
        scratch: [..., 1].
    """
    np.maximum.reduce(scores, axis=-1, keepdims=True, out=scratch)
    np.subtract(scores, scratch, out=scores)
    np.exp(scores, out=scores)
    np.add.reduce(scores, axis=-1, keepdims=True, out=scratch)
    np.divide(scores, scratch, out=scores)


def rotary_table(positions: int, width: int) -> npt.NDArray[np.complex64]:
    """Return the rotation of each pair of values at each position, [positions, width / 2].

    GPT-J rotates the pairs (2i, 2i+1) by position / 10000^(2i / width): read as a complex
    number, a pair is rotated by one multiplication.

    Args:
        positions: How many.
        width: Values of a head that carry the position; even.
    """
    speeds = 10000.0 ** (-np.arange(0, width, 2) / width)
    angles = np.outer(np.arange(positions), speeds)
    table: npt.NDArray[np.complex64] = np.exp(1j * angles).astype(np.complex64)
    return table


class Activations:
    """Buffers for `rows` tokens, and the views of them that attention needs."""

    def __init__(self, architecture: Architecture, rows: int) -> None:
        hidden, inner = architecture.hidden, architecture.inner
        self.residual = np.empty((rows, hidden), np.float32)
        self.normed = np.empty((rows, hidden), np.float32)
        self.scratch = np.empty((rows, 1), np.float32)
        self.qkv = np.empty((rows, 3 * hidden), np.float32)
        self.context = np.empty((rows, hidden), np.float32)
        self.branch = np.empty((rows, hidden), np.float32)
        self.inner = np.empty((rows, inner), np.float32)
        self.inner_scratch = np.empty((rows, inner), np.float32)
        heads = (architecture.heads, architecture.head_size)
        split = self.qkv.reshape(rows, 3, *heads)
        self.rotated = split[:, :2, :, : architecture.rotary].view(np.complex64)
        self.query = split[:, 0]
        self.key_value = split[:, 1:]
        self.context_heads = self.context.reshape(rows, *heads)


class NumpyLayers(Protocol):
    """All operators of a model, over whole fp32 matrices.

    Attributes:
        architecture: The model's numbers.
        embedding: [vocabulary, hidden].
        weight_bytes: The memory that its weights take.
    """

    architecture: Architecture
    embedding: FloatArray
    weight_bytes: int

    def run_layers(
        self,
        buffers: Activations,
        positions: IndexArray,
        multiply: Callable[[Linear, FloatArray, FloatArray], None],
        attend: Callable[[int], Iterator[None]],
    ) -> Iterator[None]:
        """Send the residual stream through all layers, piece by piece.

        Args:
            buffers: Of the tokens, whose embeddings are in `residual`.
            positions: [tokens], of each in its text.
            multiply: Multiplies the tokens by a matrix.
            attend: Fills `context` in a layer, piece by piece.

        Yields:
            After each piece: attention to some tokens, or a product with one matrix.
        """
        ...

    def logits(self, hidden: FloatArray) -> FloatArray:
        """Return the logits of hidden values [rows, hidden], [rows, vocabulary]."""
        ...
