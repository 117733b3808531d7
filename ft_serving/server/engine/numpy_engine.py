"""The engine for CPUs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from ft_serving.core.families.gptj import GPTJ
from ft_serving.core.lengths import LengthLimits
from ft_serving.server.engine.config import WeightsConfig, read_config
from ft_serving.server.engine.generate import NO_LIMITS, TextGenerator
from ft_serving.server.engine.gptj import GptJLayers
from ft_serving.server.engine.numpy_layers import NumpyLayers
from ft_serving.server.engine.numpy_model import NumpyModel

OpenLayers = Callable[[Path, WeightsConfig, int], NumpyLayers]
"""Opens a folder of weights, given what its config.ini says and the tensor parallel size."""

LAYERS: Mapping[str, OpenLayers] = {GPTJ.model_type: GptJLayers.open}
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
