"""A model on a CPU, in numpy."""

from collections.abc import Sequence
from functools import partial

from ft_serving.core.families.base import Blueprint, Family
from ft_serving.server.engine.memory import memory_limit
from ft_serving.server.engine.model import Load
from ft_serving.server.engine.numpy_batch import NumpyBatch
from ft_serving.server.engine.numpy_block import NumpyBlock
from ft_serving.server.engine.numpy_layers import NumpyLayers
from ft_serving.server.engine_memory import ENGINE_BASE_BYTES, cache_bytes, workspace_bytes


class NumpyModel:
    """Implements `ft_serving.server.engine.model.Model`.

    Args:
        family: The model's.
        layers: Its operators.
    """

    def __init__(self, family: Family, layers: NumpyLayers) -> None:
        self.architecture = layers.architecture
        self._layers = layers
        self._blueprint = Blueprint(family=family, shape=layers.architecture)

    def free_bytes(self) -> int:
        """Return the memory beside the weights; see `Model.free_bytes`."""
        return max(0, memory_limit() - self._layers.weight_bytes - ENGINE_BASE_BYTES)

    def needed_bytes(self, load: Load) -> int:
        """Return the memory that a load takes; see `Model.needed_bytes`.

        Where the system grants any amount, as Kubernetes has it, too large a request would end the
        process much later.
        """
        workspace = partial(workspace_bytes, self._blueprint)
        return (
            cache_bytes(self.architecture, load.tokens)
            + workspace(rows=load.rows, prompt=0)
            + sum(workspace(rows=0, prompt=prompt) for prompt in load.prompts)
        )

    def new_block(self, rows: int, capacity: int) -> NumpyBlock:
        """Return an empty block; see `Model.new_block`."""
        return NumpyBlock(self._layers, rows, capacity)

    def new_batch(self, blocks: Sequence[NumpyBlock]) -> NumpyBatch:
        """Return the batch of blocks; see `Model.new_batch`."""
        return NumpyBatch(self._layers, blocks)
