"""A client for generated text: a library, on which the command line stands.

with GenerationClient("http://HOST:8000") as client:
    for generation in client.generate(["Mary has a little lamb."], output_length=32):
        print(generation.prompt + generation.text)
"""

from ft_serving.client.answer import Completion, Finish
from ft_serving.client.client import GenerationClient
from ft_serving.client.endpoint import Protocol
from ft_serving.client.generation import Chunk, Generation
from ft_serving.client.parameters import Parameters

__all__ = [
    "Chunk",
    "Completion",
    "Finish",
    "Generation",
    "GenerationClient",
    "Parameters",
    "Protocol",
]
