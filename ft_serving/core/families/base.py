"""Describes a family of models: its numbers in config.json, and the table of its tensors."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ft_serving.core.errors import FtServingError
from ft_serving.core.families.architecture import (
    HEAD_SIZES,
    Architecture,
    Shape,
    hidden_misfit,
)
from ft_serving.core.release import ReleaseFormat
from ft_serving.core.units import any_of

MOST_LAYERS = 1024
"""Several times the layers of the deepest models. Each layer is planned tensor by tensor, before
the checkpoint shows how many there are."""

LARGEST_INTEGER = 2**31 - 1
"""The largest value of FasterTransformer's `int`, into which it reads config.ini's numbers."""

CONFIG_INI_KEYS: Mapping[str, str] = {
    "heads": "head_num",
    "head_size": "size_per_head",
    "inner": "inter_size",
    "layers": "num_layer",
    "vocabulary": "vocab_size",
    "rotary": "rotary_embedding",
    "start_id": "start_id",
    "end_id": "end_id",
}
"""The names of an `Architecture`'s numbers in config.ini, in the order of its lines."""


class Split(Enum):
    """The ways to divide a target among the ranks of tensor parallelism."""

    NONE = auto()
    """Every rank reads one whole file."""
    ROWS = auto()
    """Each rank has a file of consecutive input features, the target's first axis."""
    COLUMNS = auto()
    """Each rank has a file of consecutive output features, the target's last axis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRule:
    """The rule by which a file of weights is made from a checkpoint's tensors.

    Attributes:
        target: File name without rank and suffix; `{layer}` stands for the layer's number.
        sources: Names in the checkpoint, in the order in which they are stacked.
        shape: Of each source, as names of the numbers of a `Shape`.
        transpose: Whether sources are [out, in] and the target [in, out].
        split: The way to divide the target among ranks.
    """

    target: str
    sources: tuple[str, ...]
    shape: tuple[str, ...]
    transpose: bool = False
    split: Split = Split.NONE

    @property
    def per_layer(self) -> bool:
        """True if every layer has a file of this rule."""
        return "{layer}" in self.target

    def source_shape(self, shape: Shape) -> tuple[int, ...]:
        """Return the shape of each source."""
        return tuple(getattr(shape, number) for number in self.shape)

    def elements(self, shape: Shape) -> int:
        """Return the number of weights of a layer, or of the whole model, in files of this rule."""
        return len(self.sources) * math.prod(self.source_shape(shape))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Family:
    """Everything that tells one family of models from another; each is equal to itself only.

    The table `ft_serving.server.engine.numpy_engine.LAYERS` has the layers that a CPU computes.

    Attributes:
        model_type: The family's name in config.json.
        triton_model_type: Its name in config.pbtxt.
        section: Its section in config.ini.
        architecture: The record of its numbers.
        config_json: Their names in config.json, and that of the hidden size.
        config_ini: Their names in config.ini, in the order of its lines.
        read_config: Turns config.json's object into an `architecture`.
        hugging_face: Returns the values of config.json that Hugging Face's class needs so that it
            reads the model as `read_config` does, whatever the checkpoint says.
        context: Tokens of prompt and answer together that its published model was trained on, for
            models whose configuration says nothing.
        rules: The table of its tensors.
        head: The beginning of the names of the language-model head's tensors.
        ignored: Buffers that old checkpoints carry and no file needs; `{layer}` as in rules.
        value_heads: The beginnings of the names of heads that training by reinforcement adds, and
            that take no part in the generation of text.
        hidden_buffers: Vectors of the hidden size that the CPU engine holds for a token.
        inner_buffers: Those of the feed-forward layer's width.
    """

    model_type: str
    triton_model_type: str
    section: str
    architecture: type[Architecture]
    config_json: Mapping[str, str]
    config_ini: Mapping[str, str]
    read_config: Callable[["ConfigReader"], Architecture]
    hugging_face: Callable[[Architecture], Mapping[str, object]]
    context: int
    rules: tuple[TensorRule, ...]
    head: str
    ignored: tuple[str, ...]
    value_heads: tuple[str, ...]
    hidden_buffers: int
    inner_buffers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Blueprint:
    """A model's size: the table of its family's tensors, and its own numbers."""

    family: Family
    shape: Shape

    def weights(self, layers: int | None = None, tensor_parallel: int = 1) -> int:
        """Return the number of weights of a GPU that shares so many layers (all by default).

        Embedding and head are whole on each.
        """
        layers = self.shape.layers if layers is None else layers
        return sum(
            rule.elements(self.shape)
            * (layers if rule.per_layer else 1)
            // (1 if rule.split is Split.NONE else tensor_parallel)
            for rule in self.family.rules
        )

    @property
    def head_weights(self) -> int:
        """The number of weights of the language-model head."""
        return sum(
            rule.elements(self.shape)
            for rule in self.family.rules
            if rule.sources[0].startswith(self.family.head)
        )

    @property
    def largest_weights(self) -> int:
        """The number of weights of the largest tensor that a file is made for."""
        return max(rule.elements(self.shape) for rule in self.family.rules)


class ConfigReader:
    """Reads typed values from config.json, and collects their problems into one error."""

    def __init__(self, config: Mapping[str, Any], release_format: ReleaseFormat) -> None:
        self._config = config
        self._release_format = release_format
        self._defaults: dict[str, int | str] = {}
        self._refused: set[str] = set()
        self.problems: list[str] = []

    def integer(
        self, key: str, *, default: int | None = None, maximum: int = LARGEST_INTEGER
    ) -> int:
        """Return an integer of at least 1, which must be there if it has no default."""
        value = self._value(key, default)
        if type(value) is int and 1 <= value <= maximum:
            return value
        is_large = type(value) is int and value > maximum
        self.refuse(key, f"must be an integer of at {f'most {maximum}' if is_large else 'least 1'}")
        return 1

    def optional_integer(self, key: str, *, absent: int | None, null: int) -> int:
        """Return an integer; `null` where the value is null, `absent` where there is none."""
        if self._config.get(key, absent) is None:
            return null
        return self.integer(key, default=absent)

    def heads(self, *, hidden_key: str, heads_key: str) -> tuple[int, int]:
        """Return how many attention heads there are, and the values of each."""
        hidden, heads = self.integer(hidden_key), self.integer(heads_key)
        misfit = hidden_misfit(hidden, heads, self._release_format)
        if misfit and not {hidden_key, heads_key} & self._refused:
            sizes = HEAD_SIZES.get(self._release_format)
            self.refuse(hidden_key, misfit.rule + (f" ({any_of(sizes)})" if sizes else ""))
        return heads, max(hidden // heads, 1)

    def token(self, key: str, *, default: int) -> int:
        """Return a token's id; where a list is given, as for several end tokens, its first."""
        value = self._value(key, default)
        if isinstance(value, list) and value:
            value = value[0]
        if type(value) is int and value >= 0:
            return value
        self.refuse(key, "must be a token id, a whole number of at least 0")
        return 0

    def one_of(self, key: str, allowed: tuple[str, ...], *, default: str) -> None:
        """Check a word that FasterTransformer's code fixes."""
        if self._value(key, default) not in allowed:
            self.refuse(key, f"FasterTransformer computes {any_of(allowed)} only")

    def refuse(self, key: str, rule: str) -> None:
        """Note that a key's value breaks a rule, unless it is known to break another."""
        if key in self._refused:
            return
        self._refused.add(key)
        given = "it is missing"
        if key in self._config:
            given = f"got {self._config[key]!r}"
        elif key in self._defaults:
            given = f"got nothing, whose default is {self._defaults[key]}"
        self.problems.append(f"{key}: {rule}; {given}")

    def raise_problems(self) -> None:
        """Raise `FtServingError` with every problem found so far, if any."""
        if self.problems:
            raise FtServingError("config.json: " + "\n             ".join(self.problems))

    def _value(self, key: str, default: int | str | None) -> Any:  # noqa: ANN401 - JSON's
        if default is not None:
            self._defaults[key] = default
        return self._config.get(key, default)
