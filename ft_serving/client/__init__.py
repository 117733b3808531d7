"""A client for generated text: a library, on which the command line stands.

with GenerationClient("http://HOST:8000") as client:
    for generation in client.generate(["Mary has a little lamb."], output_length=32):
        print(generation.prompt + generation.text)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft_serving.client.answer import Completion, Finish
    from ft_serving.client.client import GenerationClient
    from ft_serving.client.generation import Chunk, Generation
    from ft_serving.core.parameters import Parameters
    from ft_serving.core.protocol import InferenceProtocol

__all__ = [
    "Chunk",
    "Completion",
    "Finish",
    "Generation",
    "GenerationClient",
    "InferenceProtocol",
    "Parameters",
]

_MODULES = {
    "Chunk": "generation",
    "Completion": "answer",
    "Finish": "answer",
    "Generation": "generation",
    "GenerationClient": "client",
    "Parameters": "parameters",
    "InferenceProtocol": "endpoint",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class, or whatever is asked for
    # Imported when it is asked for: `ft-serving --help` runs without the extra `client`.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"ft_serving.client.{_MODULES[name]}"), name)
