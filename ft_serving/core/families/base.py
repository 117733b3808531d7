"""What a family of models is: how its config.json reads, and the table of its tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ft_serving.core.errors import ArchitectureError

SUPPORTED_HEAD_SIZES = (32, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256)
"""Sizes that FasterTransformer's decoder attention kernel is compiled for."""

MOST_LAYERS = 1024
"""Several times those of the deepest models; each is planned for, tensor by tensor, before the
checkpoint tells how many there are."""

LARGEST_INTEGER = 2**31 - 1
"""That of FasterTransformer's `int`, into which it reads config.ini's numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """The numbers of one model.

    Attributes:
        heads: Attention heads in a layer.
        head_size: Values a head.
        inner: Width of the feed-forward layer.
        layers: Number of layers.
        vocabulary: Rows of the embedding; may exceed the tokenizer's.
        rotary: Leading values of each head that get the rotary position embedding.
        start_id: Token that begins a text.
        end_id: Token that ends a text.
        context: Tokens of prompt and answer together that it was trained on.
    """

    heads: int
    head_size: int
    inner: int
    layers: int
    vocabulary: int
    rotary: int
    start_id: int
    end_id: int
    context: int

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self.heads * self.head_size

    def parallelism_problems(self, tensor_parallel: int, pipeline_parallel: int) -> list[str]:
        """Say what in this model the two sizes do not divide, and which sizes do."""
        problems = []
        if tensor_parallel < 1 or self.heads % tensor_parallel or self.inner % tensor_parallel:
            valid = [n for n in _divisors(self.heads) if self.inner % n == 0]
            problems.append(
                f"tensor parallel size must divide the model's {self.heads} attention heads and "
                f"its inner size {self.inner}; got {tensor_parallel}; use {_any_of(valid)}"
            )
        if pipeline_parallel < 1 or self.layers % pipeline_parallel:
            problems.append(
                f"pipeline parallel size must divide the model's {self.layers} layers; "
                f"got {pipeline_parallel}; use {_any_of(_divisors(self.layers))}"
            )
        return problems

    def length_problems(self, input_length: int | None, output_length: int | None) -> list[str]:
        """Say whether the longest prompt and the longest answer exceed the model's context."""
        # One token, where the other length is not limited.
        longest = (input_length or 1) + (output_length or 1)
        if longest <= self.context:
            return []
        given = [
            f"{name} {length}"
            for name, length in (("input length", input_length), ("output length", output_length))
            if length is not None
        ]
        rule = f"must fit the model's context of {self.context} tokens (n_positions)"
        return [f"prompts and answers together {rule}; got {' and '.join(given)}"]


class Split(Enum):
    """How a target is divided among the ranks of tensor parallelism."""

    NONE = auto()
    """Every rank reads one whole file."""
    ROWS = auto()
    """Each rank has a file of consecutive input features, the target's first axis."""
    COLUMNS = auto()
    """Each rank has a file of consecutive output features, the target's last axis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRule:
    """How one file of weights comes from a checkpoint's tensors.

    Attributes:
        target: File name without rank and suffix; `{layer}` stands for the layer's number.
        sources: Names in the checkpoint, in the order in which they are stacked.
        shape: Of each source, as names of the `Architecture`'s numbers.
        transpose: Whether sources are [out, in] and the target [in, out].
        split: How the target is divided among ranks.
    """

    target: str
    sources: tuple[str, ...]
    shape: tuple[str, ...]
    transpose: bool = False
    split: Split = Split.NONE

    @property
    def per_layer(self) -> bool:
        """Whether every layer has a file of this rule."""
        return "{layer}" in self.target


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Everything that tells one family of models from another.

    Attributes:
        model_type: The family's name in config.json.
        triton_model_type: Its name in config.pbtxt.
        section: Its section in config.ini.
        read_config: Turns config.json's object into an `Architecture`.
        hugging_face: Returns the values of config.json that Hugging Face's class needs so that it
            reads the model as `read_config` does, whatever the checkpoint says.
        rules: The table of its tensors.
        head: What the names of the language-model head's tensors begin with.
        ignored: Buffers that old checkpoints carry and no file needs; `{layer}` as in rules.
        value_heads: What the names of heads begin with that training by reinforcement adds, and
            that take no part in the generation of text.
    """

    model_type: str
    triton_model_type: str
    section: str
    read_config: Callable[["ConfigReader"], Architecture]
    hugging_face: Callable[[Architecture], Mapping[str, object]]
    rules: tuple[TensorRule, ...]
    head: str
    ignored: tuple[str, ...]
    value_heads: tuple[str, ...]


class ConfigReader:
    """Reads typed values from config.json and collects every problem before it complains."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.problems: list[str] = []

    def integer(
        self,
        key: str,
        *,
        default: int | None = None,
        minimum: int = 1,
        maximum: int = LARGEST_INTEGER,
    ) -> int:
        """Return a required integer, or one that has a default where the key is absent."""
        value = self._config.get(key, default)
        bound = f"at least {minimum}"
        if type(value) is int and value >= minimum:
            if value <= maximum:
                return value
            bound = f"at most {maximum}"
        given = "it is missing" if key not in self._config else f"got {value!r}"
        self.problems.append(f"{key}: must be an integer of {bound}; {given}")
        return minimum

    def optional_integer(self, key: str, *, absent: int | None, null: int) -> int:
        """Return an integer whose null and whose absence have meanings of their own."""
        if self._config.get(key, absent) is None:
            return null
        return self.integer(key, default=absent)

    def token(self, key: str, *, default: int, vocabulary: int) -> int:
        """Return a token's id; where a list is given, as for several end tokens, its first."""
        value = self._config.get(key, default)
        if isinstance(value, list) and value:
            value = value[0]
        if type(value) is int and 0 <= value < vocabulary:
            return value
        given = f"{value!r}" if key in self._config else f"nothing, whose default is {default}"
        self.problems.append(
            f"{key}: must be a token id below the vocabulary's size {vocabulary}; got {given}"
        )
        return 0

    def one_of(self, key: str, allowed: tuple[str, ...], *, default: str) -> None:
        """Check a word that FasterTransformer's code fixes."""
        value = self._config.get(key, default)
        if value not in allowed:
            self.problems.append(
                f"{key}: FasterTransformer computes {_any_of(allowed)} only; got {value!r}"
            )

    def raise_problems(self) -> None:
        """Raise `ArchitectureError` with every problem found so far, if any."""
        if self.problems:
            raise ArchitectureError("config.json: " + "\n             ".join(self.problems))


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _any_of(choices: tuple[str, ...] | list[int]) -> str:
    words = [str(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
