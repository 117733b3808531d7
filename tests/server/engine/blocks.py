"""Blocks of the numpy GPT-J for tests that do without a schedule."""

from collections.abc import Sequence

from ft_serving.core.arrays import TokenArray
from ft_serving.server.engine.numpy_block import NumpyBlock
from ft_serving.server.engine.numpy_engine import NumpyModel


def prefilled(
    model: NumpyModel, prompts: Sequence[TokenArray], capacity: int, rows: int | None = None
) -> NumpyBlock:
    """A block with the prompts in its first rows; as many rows, unless said."""
    block = model.new_block(rows or len(prompts), capacity)
    for row, prompt in enumerate(prompts):
        for _ in block.prefill(row, prompt):
            pass
    return block
