"""The parts of a model that any family computes in numpy, without allocations."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from ft_serving.core.arrays import FloatArray, IndexArray
from ft_serving.core.families.architecture import Architecture
from ft_serving.server.engine.linear import Linear

GELU_TANH = tuple(-np.float32(2 * math.sqrt(2 / math.pi) * each) for each in (1, 0.044715))
"""GELU's tanh form, for `add_bias_gelu`."""

GELU_EXACT = tuple(
    -np.float32(each)
    for each in (
        *(1.5957684326577737, 7.266856558895785e-2, -6.625888664315805e-5, -1.1048064709723799e-4),
        *(7.938263889887321e-6, -2.6689558189152155e-7, 3.6112943565811954e-9),
    )
)
"""GELU with the error function, x · Φ(x), for `add_bias_gelu`.

The odd polynomial that is nearest to log(Φ(x) / Φ(-x)): up to |x| = 7 it moves GELU by 7e-8 at
most, about as much as fp32 rounds. Beyond, GELU is x or 0 in fp32.
"""

_GELU_ELEMENTS = 16_384
"""Values that GELU takes at once, so that its passes find them in a core's cache."""

_FIRST_POSITIONS = 2048

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


def add_bias_gelu(
    rows: FloatArray, bias: FloatArray, form: tuple[np.float32, ...], scratch: FloatArray
) -> None:
    """Replace `rows` by gelu(rows + bias).

    Both forms of GELU are x / (1 + exp(u)) with an odd polynomial u of x: the tanh form because
    x/2 · (1 + tanh(v)) is x / (1 + exp(-2v)). Where the exponential overflows, the result is
    rightly zero; the caller silences that warning.

    Args:
        rows: [rows, width].
        bias: [width].
        form: The coefficients of u, lowest first: `GELU_TANH` or `GELU_EXACT`.
        scratch: [2, some rows, width]; so many rows are taken at once.
    """
    at_once = scratch.shape[1]
    for start in range(0, len(rows), at_once):
        x = rows[start : start + at_once]
        square, u = scratch[:, : len(x)]
        np.add(x, bias, out=x)
        np.multiply(x, x, out=square)
        np.multiply(square, form[-1], out=u)
        for coefficient in form[-2:0:-1]:
            np.add(u, coefficient, out=u)
            np.multiply(u, square, out=u)
        np.add(u, form[0], out=u)
        np.multiply(u, x, out=u)
        np.exp(u, out=u)
        np.add(u, _ONE, out=u)
        np.divide(x, u, out=x)


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


class Rotations:
    """Rotary position embeddings.

    The pairs (2i, 2i+1) of a head's leading values are rotated by position / base^(2i / width):
    read as a complex number, a pair is rotated by one multiplication.

    Args:
        width: Values of a head that carry the position; even.
        base: Of the speeds.
    """

    def __init__(self, width: int, base: float = 10_000) -> None:
        self._speeds = float(base) ** (-np.arange(0, width, 2) / width)
        self._table = self._rotations(_FIRST_POSITIONS)

    def at(self, positions: IndexArray) -> npt.NDArray[np.complex64]:
        """Return the rotation of each pair at these positions, [positions, 1, 1, width / 2]."""
        needed = int(positions.max()) + 1
        if len(self._table) < needed:
            # A wanted length may never be reached, so the table grows with the text.
            self._table = self._rotations(1 << (needed - 1).bit_length())
        return self._table[positions][:, None, None]

    def _rotations(self, positions: int) -> npt.NDArray[np.complex64]:
        angles = np.outer(np.arange(positions), self._speeds)
        rotations: npt.NDArray[np.complex64] = np.exp(1j * angles).astype(np.complex64)
        return rotations


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
        at_once = min(rows, max(1, _GELU_ELEMENTS // inner))
        self.inner_scratch = np.empty((2, at_once, inner), np.float32)
        heads = (architecture.heads, architecture.head_size)
        split = self.qkv.reshape(rows, 3, *heads)
        self.rotated = split[:, :2, :, : architecture.rotary].view(np.complex64)
        self.query = split[:, 0]
        self.key_value = split[:, 1:]
        self.context_heads = self.context.reshape(rows, *heads)


class NumpyLayers(ABC):
    """All operators of a model, over whole fp32 matrices.

    All matrices of a layer are [in, out]; the embedding and the output head are
    [vocabulary, hidden].

    Args:
        architecture: The model's numbers.
        weights: From `read_weights`; not every family's head has a bias.
        epsilon: Of the layer norms.

    Attributes:
        architecture: The model's numbers.
        embedding: [vocabulary, hidden].
        weight_bytes: The memory that its weights take.
    """

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, FloatArray], epsilon: float
    ) -> None:
        self.architecture = architecture
        self.embedding = weights["model.wte"]
        self.weight_bytes = sum(array.nbytes for array in weights.values())
        norm = "model.final_layernorm"
        self._norm = LayerNorm(weights[f"{norm}.weight"], weights[f"{norm}.bias"], epsilon)
        self._head = Linear(weights["model.lm_head.weight"].T)
        self._head_bias = weights.get("model.lm_head.bias")

    @abstractmethod
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

    def logits(self, hidden: FloatArray) -> FloatArray:
        """Return the logits of hidden values [rows, hidden], [rows, vocabulary]."""
        normed = np.empty_like(hidden)
        self._norm.apply(hidden, normed, np.empty((len(hidden), 1), np.float32))
        logits = np.empty((len(hidden), self.architecture.vocabulary), np.float32)
        self._head.few(normed, logits)
        if self._head_bias is not None:
            np.add(logits, self._head_bias, out=logits)
        return logits
