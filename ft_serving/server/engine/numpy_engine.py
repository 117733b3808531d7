"""The engine for CPUs."""

from pathlib import Path
from typing import Self

from ft_serving.core.lengths import LengthLimits
from ft_serving.server.engine.config import read_config
from ft_serving.server.engine.generate import NO_LIMITS, Engine
from ft_serving.server.engine.numpy_model import NumpyModel
from ft_serving.server.engine.weights import open_weights


class NumpyEngine(Engine):
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
            ModelFilesError: Files are missing, damaged or of another model.
        """
        config = read_config(folder)
        model = NumpyModel(config, open_weights(folder, config, tensor_parallel))
        return cls(model, limits)
