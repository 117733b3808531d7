"""A model that is computed in numpy, and the memory that it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from ft_serving.core.families.base import Blueprint, Family
from ft_serving.server.engine.numpy_block import NumpyBatch, NumpyBlock
from ft_serving.server.engine.numpy_ops import NumpyLayers
from ft_serving.server.engine_memory import (
    ENGINE_BASE_BYTES,
    cache_bytes,
    memory_limit,
    workspace_bytes,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """The numbers that decide how much memory requests take beside the weights.

    Attributes:
        rows: Rows, a beam counting as one.
        tokens: Tokens that all of them together may grow to, prompts included.
        prompts: The lengths of the prompts that are computed in turns.
    """

    rows: int = 0
    tokens: int = 0
    prompts: tuple[int, ...] = ()

    def __add__(self, other: Self) -> "Load":
        return Load(
            rows=self.rows + other.rows,
            tokens=self.tokens + other.tokens,
            prompts=self.prompts + other.prompts,
        )


class NumpyModel:
    """A model, ready to compute; tests have a scripted one.

    Args:
        family: The model's.
        layers: Its operators.
    """

    def __init__(self, family: Family, layers: NumpyLayers) -> None:
        self.architecture = layers.architecture
        self._layers = layers
        self._blueprint = Blueprint(family=family, shape=layers.architecture)

    def free_bytes(self) -> int:
        """Return the memory that there is beside the weights."""
        return max(0, memory_limit() - self._layers.weight_bytes - ENGINE_BASE_BYTES)

    def needed_bytes(self, load: Load) -> int:
        """Return the memory that a load takes.

        A request beyond it is refused: Kubernetes grants any amount, and ends the process later.
        """
        workspace = partial(workspace_bytes, self._blueprint)
        return (
            cache_bytes(self.architecture, load.tokens)
            + workspace(rows=load.rows, prompt=0)
            + sum(workspace(rows=0, prompt=prompt) for prompt in load.prompts)
        )

    def new_block(self, rows: int, capacity: int) -> NumpyBlock:
        """Return an empty block for so many rows, of so many tokens each, prompt included."""
        return NumpyBlock(self._layers, rows, capacity)

    def new_batch(self, blocks: Sequence[NumpyBlock]) -> NumpyBatch:
        """Return the batch of blocks whose prompts are computed."""
        return NumpyBatch(self._layers, blocks)
