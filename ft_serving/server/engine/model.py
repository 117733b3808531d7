"""The interface of a model that text is generated with; `numpy_engine` implements it for CPUs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from ft_serving.core.arrays import FloatArray, IndexArray, TokenArray
from ft_serving.core.families.architecture import Architecture


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


class Block(Protocol):
    """Rows of text of one length, with their keys and values so far.

    Attributes:
        rows: The number of rows.
    """

    rows: int

    def prefill(self, row: int, prompt: TokenArray) -> Iterator[None]:
        """Compute the prompt of a row, piece by piece; each row once, all of one length.

        Yields:
            After each piece, which takes about as long as a token of a few rows. A prompt that is
            not computed to its end leaves the row as it is, for the caller to drop.
        """
        ...

    def select(self, rows: IndexArray) -> None:
        """Go on with these rows, in this order; a row named twice is doubled."""
        ...

    def logits(self) -> FloatArray:
        """Return the logits behind the prompts, [rows, vocabulary], the caller's to change."""
        ...


BlockT = TypeVar("BlockT", bound=Block)


class Batch(Protocol):
    """Blocks whose rows are computed together, until rows are selected in one of them."""

    def step(self, tokens: TokenArray) -> FloatArray:
        """Append one token to each row of all blocks, [rows].

        Returns:
            Logits of each row's next token, [rows, vocabulary]; the caller's to change.
        """
        ...


class LogitsModel(Protocol[BlockT]):
    """A model, ready to compute, with blocks of its own kind."""

    @property
    def architecture(self) -> Architecture:
        """The model's numbers."""
        ...

    def free_bytes(self) -> int:
        """Return the memory that there is beside the weights."""
        ...

    def needed_bytes(self, load: Load) -> int:
        """Return the memory that a load takes."""
        ...

    def new_block(self, rows: int, capacity: int) -> BlockT:
        """Return an empty block for so many rows, of so many tokens each, prompt included."""
        ...

    def new_batch(self, blocks: Sequence[BlockT]) -> Batch:
        """Return the batch of blocks whose prompts are computed."""
        ...
