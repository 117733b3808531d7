"""What text generation needs of a model; the CPU's and the GPU's implementations share it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ft_serving.engine.arrays import FloatArray, IndexArray, TokenArray
from ft_serving.engine.config import GptJConfig


class Batch(Protocol):
    """Rows of text that are computed together, with their keys and values so far.

    The logits that `prefill` and `step` return are the caller's to change, and valid until the
    next call.
    """

    def prefill(
        self, prompts: Sequence[TokenArray], is_wanted: Callable[[int], bool] = lambda _: True
    ) -> FloatArray:
        """Start the rows, one a prompt of at least one token.

        Args:
            prompts: The rows' tokens.
            is_wanted: Is asked on the way about the row that is computed; one that is no longer
                wanted is left as it is, for the caller to drop.

        Returns:
            Logits of each row's next token, [rows, vocabulary].
        """
        ...

    def select(self, rows: IndexArray) -> None:
        """Go on with these rows, in this order; a row named twice is doubled."""
        ...

    def step(self, tokens: TokenArray) -> FloatArray:
        """Append one token to each row, [rows].

        Returns:
            Logits of each row's next token, [rows, vocabulary].
        """
        ...


class Model(Protocol):
    """A GPT-J, ready to compute."""

    @property
    def config(self) -> GptJConfig:
        """The model's numbers."""
        ...

    def new_batch(self, rows: int, capacity: int, longest_prompt: int) -> Batch:
        """Return an empty batch.

        Args:
            rows: It will never have more.
            capacity: Tokens that a row may grow to, prompt included.
            longest_prompt: Tokens of the longest prompt.

        Raises:
            MemoryLimitError: It would not fit.
        """
        ...
