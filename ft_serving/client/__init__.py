"""A library that generates text by a served model; the command line stands on it.

with GenerationClient("http://HOST:8000") as client:
    for generation in client.generate(["Mary has a little lamb."], output_length=32):
        print(generation.prompt + generation.text)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft_serving.client.answer import Chunk, Completion, Finish, Generation
    from ft_serving.client.client import GenerationClient
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


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class, or whatever is asked for
    # Imported when it is asked for, because `ft-serving --help` runs without the extra `client`.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ft_serving.client import answer, client

    return getattr(answer if hasattr(answer, name) else client, name)
