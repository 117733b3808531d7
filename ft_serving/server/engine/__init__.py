"""Generation over FasterTransformer's GPT-J weight files, with its tensors and semantics."""

from ft_serving.server.engine.errors import (
    EngineError,
    MemoryLimitError,
    ModelFilesError,
    RequestError,
)
from ft_serving.server.engine.generate import Engine
from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.engine.request import GenerationRequest, GenerationResult

__all__ = [
    "Engine",
    "EngineError",
    "GenerationRequest",
    "GenerationResult",
    "MemoryLimitError",
    "ModelFilesError",
    "NumpyEngine",
    "RequestError",
]
