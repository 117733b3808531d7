"""The engine for CPUs: a model that is computed in numpy, and its texts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from ft_serving.core.families.base import Blueprint, Family
from ft_serving.core.families.gptj import GPTJ
from ft_serving.core.families.gptneox import GPTNEOX
from ft_serving.core.lengths import LengthLimits
from ft_serving.server.engine.config import WeightsConfig, read_config
from ft_serving.server.engine.generate import NO_LIMITS, TextGenerator
from ft_serving.server.engine.gptj import GptJLayers
from ft_serving.server.engine.gptneox import GptNeoXLayers
from ft_serving.server.engine.model import Load
from ft_serving.server.engine.numpy_block import NumpyBatch, NumpyBlock
from ft_serving.server.engine.numpy_ops import NumpyLayers
from ft_serving.server.engine_memory import (
    ENGINE_BASE_BYTES,
    cache_bytes,
    memory_limit,
    workspace_bytes,
)


class NumpyModel:
    """Implements `ft_serving.server.engine.model.LogitsModel`.

    Args:
        family: The model's.
        layers: Its operators.
    """

    def __init__(self, family: Family, layers: NumpyLayers) -> None:
        self.architecture = layers.architecture
        self._layers = layers
        self._blueprint = Blueprint(family=family, shape=layers.architecture)

    def free_bytes(self) -> int:
        """Return the memory beside the weights; see `LogitsModel.free_bytes`."""
        return max(0, memory_limit() - self._layers.weight_bytes - ENGINE_BASE_BYTES)

    def needed_bytes(self, load: Load) -> int:
        """Return the memory that a load takes; see `LogitsModel.needed_bytes`.

        A request beyond it is refused: Kubernetes grants any amount, and ends the process later.
        """
        workspace = partial(workspace_bytes, self._blueprint)
        return (
            cache_bytes(self.architecture, load.tokens)
            + workspace(rows=load.rows, prompt=0)
            + sum(workspace(rows=0, prompt=prompt) for prompt in load.prompts)
        )

    def new_block(self, rows: int, capacity: int) -> NumpyBlock:
        """Return an empty block; see `LogitsModel.new_block`."""
        return NumpyBlock(self._layers, rows, capacity)

    def new_batch(self, blocks: Sequence[NumpyBlock]) -> NumpyBatch:
        """Return the batch of blocks; see `LogitsModel.new_batch`."""
        return NumpyBatch(self._layers, blocks)


OpenLayers = Callable[[Path, WeightsConfig, int], NumpyLayers]
"""Opens a folder of weights, given what its config.ini says and the tensor parallel size."""

LAYERS: Mapping[str, OpenLayers] = {
    GPTJ.model_type: GptJLayers.open,
    GPTNEOX.model_type: GptNeoXLayers.open,
}
"""The layers of each family, by its name in config.json."""


class NumpyEngine(TextGenerator):
    """Generates text on a CPU, from FasterTransformer's files."""

    @classmethod
    def open(cls, folder: Path, tensor_parallel: int, limits: LengthLimits = NO_LIMITS) -> Self:
        """Open a folder of weights.

        Args:
            folder: Directly contains config.ini and the *.bin files.
            tensor_parallel: The size that the weights were converted for; config.pbtxt names it
                `tensor_para_size`.
            limits: How long prompts and answers may be.

        Raises:
            ServerError: Files are missing, damaged or of another model.
        """
        config = read_config(folder, limits.context_length)
        layers = LAYERS[config.family.model_type](folder, config, tensor_parallel)
        return cls(NumpyModel(config.family, layers), limits)
