"""Generation over FasterTransformer's weight files, with its semantics, in numpy."""

from ft_serving.server.engine.generate import Engine
from ft_serving.server.engine.numpy_engine import NumpyEngine

__all__ = ["Engine", "NumpyEngine"]
