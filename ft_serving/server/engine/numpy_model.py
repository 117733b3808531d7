"""A GPT-J on a CPU, in numpy."""

from collections.abc import Sequence

from ft_serving.server.engine.config import GptJConfig
from ft_serving.server.engine.memory import memory_limit
from ft_serving.server.engine.model import Load
from ft_serving.server.engine.numpy_batch import NumpyBatch
from ft_serving.server.engine.numpy_block import NumpyBlock
from ft_serving.server.engine.numpy_layers import NumpyLayers
from ft_serving.server.engine.weights import GptJWeights
from ft_serving.server.engine_memory import ENGINE_BASE_BYTES, cache_bytes, workspace_bytes


class NumpyModel:
    """Implements `ft_serving.server.engine.model.Model`; see `NumpyLayers` for its arguments."""

    def __init__(
        self, config: GptJConfig, weights: GptJWeights, layer_norm_epsilon: float = 1e-6
    ) -> None:
        self.config = config
        self._layers = NumpyLayers(config, weights, layer_norm_epsilon)
        self._weight_bytes = weights.nbytes

    def free_bytes(self) -> int:
        """Return the memory beside the weights; see `Model.free_bytes`."""
        return max(0, memory_limit() - self._weight_bytes - ENGINE_BASE_BYTES)

    def needed_bytes(self, load: Load) -> int:
        """Return the memory that a load takes; see `Model.needed_bytes`.

        Where the system grants any amount, as Kubernetes has it, too large a request would end the
        process much later.
        """
        config = self.config

        def workspace(rows: int, prompt: int) -> int:
            return workspace_bytes(
                hidden=config.hidden,
                inner=config.inter_size,
                heads=config.head_num,
                vocabulary=config.vocab_size,
                rows=rows,
                prompt=prompt,
            )

        return (
            cache_bytes(layers=config.num_layer, hidden=config.hidden, tokens=load.tokens)
            + workspace(load.rows, 0)
            + sum(workspace(0, prompt) for prompt in load.prompts)
        )

    def new_block(self, rows: int, capacity: int) -> NumpyBlock:
        """Return an empty block; see `Model.new_block`."""
        return NumpyBlock(self._layers, rows, capacity)

    def new_batch(self, blocks: Sequence[NumpyBlock]) -> NumpyBatch:
        """Return the batch of blocks; see `Model.new_batch`."""
        return NumpyBatch(self._layers, blocks)
