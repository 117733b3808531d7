"""Generation over FasterTransformer's weight files, with its semantics, in numpy."""

from ft_serving.server.engine.generate import TextGenerator
from ft_serving.server.engine.numpy_engine import NumpyEngine

__all__ = ["NumpyEngine", "TextGenerator"]
