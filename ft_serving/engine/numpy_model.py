"""GPT-J on a CPU, in numpy."""

import numpy as np
import numpy.typing as npt

from ft_serving.engine.config import GptJConfig
from ft_serving.engine.linear import Linear
from ft_serving.engine.numpy_batch import NumpyBatch
from ft_serving.engine.numpy_ops import LayerNorm, rotary_table
from ft_serving.engine.weights import GptJWeights, LayerWeights

_FIRST_POSITIONS = 2048


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


class NumpyModel:
    """A GPT-J over whole fp32 matrices; batches of it may be computed from several threads.

    Args:
        config: The model's numbers.
        weights: Its weights.
        layer_norm_epsilon: FasterTransformer's constant for GPT-J (`GptJ.h`); the published
            models were trained with 1e-5, which Hugging Face uses.
    """

    def __init__(
        self, config: GptJConfig, weights: GptJWeights, layer_norm_epsilon: float = 1e-6
    ) -> None:
        self.config = config
        self.embedding = weights.embedding
        self.layers = [NumpyLayer(layer, layer_norm_epsilon) for layer in weights.layers]
        self.norm = LayerNorm(weights.norm_weight, weights.norm_bias, layer_norm_epsilon)
        self.head = Linear(weights.head.T)
        self.head_bias = weights.head_bias
        self.weight_bytes = weights.nbytes
        self._rotations = rotary_table(_FIRST_POSITIONS, config.rotary_embedding)

    def new_batch(self, rows: int, capacity: int, longest_prompt: int) -> NumpyBatch:
        """Return an empty batch; see `ft_serving.engine.model.Model.new_batch`."""
        return NumpyBatch(self, rows, capacity, longest_prompt)

    def rotations(self, positions: int) -> npt.NDArray[np.complex64]:
        """Return the rotations of at least the first `positions` positions."""
        table = self._rotations
        if len(table) < positions:
            # A wanted length may never be reached, so the table grows with the text.
            size = 1 << (positions - 1).bit_length()
            table = self._rotations = rotary_table(size, self.config.rotary_embedding)
        return table
