"""Records a model's numbers, and checks the rules that they must keep."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ft_serving.core.release import ReleaseFormat

SUPPORTED_HEAD_SIZES = (32, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256)
"""Sizes that FasterTransformer's decoder attention kernel is compiled for."""

HEAD_SIZES: Mapping[ReleaseFormat, tuple[int, ...]] = {
    ReleaseFormat.FASTERTRANSFORMER: SUPPORTED_HEAD_SIZES
}
"""The sizes that engines of a release's format have; a format that takes all has no entry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Misfit:
    """A number that breaks a rule; each caller reports it by the name that its readers know.

    Attributes:
        number: Its name here.
        rule: The rule, as the end of a sentence that begins with the name.
        got: Its value.
        valid: Values that keep the rule; empty where they are too many to name.
    """

    number: str
    rule: str
    got: int
    valid: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The numbers that a model's memory depends on, which are those of a stack's configuration.

    Attributes:
        heads: Attention heads in a layer.
        head_size: Values a head.
        inner: Width of the feed-forward layer.
        layers: Number of layers.
        vocabulary: Rows of the embedding; may exceed the tokenizer's.
        context: Tokens of prompt and answer together that it was trained on.
    """

    heads: int
    head_size: int
    inner: int
    layers: int
    vocabulary: int
    context: int

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self.heads * self.head_size

    def tensor_parallel_sizes(self, most: int | None = None) -> list[int]:
        """Return the numbers of GPUs, up to a limit, that can share each layer."""
        return [n for n in _divisors(self.heads, most) if self.inner % n == 0]

    def parallelism_misfits(
        self, tensor_parallel: int, pipeline_parallel: int = 1
    ) -> Iterator[Misfit]:
        """Yield those of the two sizes that do not divide this model."""
        if tensor_parallel < 1 or self.heads % tensor_parallel or self.inner % tensor_parallel:
            yield Misfit(
                number="tensor_parallel",
                rule=f"must divide the model's {self.heads} attention heads and its inner size "
                f"{self.inner}",
                got=tensor_parallel,
                valid=tuple(self.tensor_parallel_sizes()),
            )
        if pipeline_parallel < 1 or self.layers % pipeline_parallel:
            yield Misfit(
                number="pipeline_parallel",
                rule=f"must divide the model's {self.layers} layers",
                got=pipeline_parallel,
                valid=tuple(_divisors(self.layers)),
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture(Shape):
    """All numbers of a model, from a checkpoint's config.json or a release's manifest.

    Attributes:
        rotary: Leading values of each head that get the rotary position embedding.
        start_id: Token that begins a text.
        end_id: Token that ends a text.
    """

    rotary: int
    start_id: int
    end_id: int

    def misfits(self) -> Iterator[Misfit]:
        """Yield the numbers that contradict others."""
        if self.rotary < 2 or self.rotary > self.head_size or self.rotary % 2:
            yield Misfit(
                number="rotary",
                rule=f"must be even and at most the head size {self.head_size}",
                got=self.rotary,
            )
        for number, token in (("start_id", self.start_id), ("end_id", self.end_id)):
            if not 0 <= token < self.vocabulary:
                yield Misfit(
                    number=number,
                    rule=f"must be a token id below the vocabulary's size {self.vocabulary}",
                    got=token,
                )


def hidden_misfit(hidden: int, heads: int, release_format: ReleaseFormat) -> Misfit | None:
    """Return the misfit of a hidden size whose heads no engine of a release's format computes."""
    size, rest = divmod(hidden, heads)
    sizes = HEAD_SIZES.get(release_format)
    if not rest and (sizes is None or size in sizes):
        return None
    if sizes is None:
        # The nearest.
        rule = f"must be a multiple of the {heads} heads"
        sizes = (size, size + 1) if size else (1,)
    else:
        rule = f"must be the {heads} heads times a head size that FasterTransformer has"
    return Misfit(
        number="hidden", rule=rule, got=hidden, valid=tuple(heads * size for size in sizes)
    )


def _divisors(number: int, most: int | None = None) -> list[int]:
    largest = number if most is None else min(number, most)
    return [n for n in range(1, largest + 1) if number % n == 0]
