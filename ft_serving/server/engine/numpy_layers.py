"""What numpy computes of a model's layers with, whatever the family."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from ft_serving.core.arrays import FloatArray, IndexArray
from ft_serving.core.families.architecture import Architecture
from ft_serving.server.engine.linear import Linear


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
