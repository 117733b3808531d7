"""Describes a family of models: its numbers in config.json, and the table of its tensors."""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ft_serving.core.dtypes import DType
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

_MISSING = object()

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
        shape: Of each matrix or vector of the target, as names of the numbers of a `Shape`.
        transpose: Whether sources are [out, in] and the target [in, out].
        split: The way to divide the target among ranks.
        interleaved: Matrices or vectors in each source, of which each head has its outputs in turn:
            [head, interleaved, head size]. The target has them whole, one after the other.
        add: Whether the target is the sum of the sources, which other rules have, too. Otherwise
            they are stacked.
        divide: Whether the values are divided by the number of ranks, each of which adds them.
        where: A number of the family's that must not be 0 for the file to be there.
    """

    target: str
    sources: tuple[str, ...]
    shape: tuple[str, ...]
    transpose: bool = False
    split: Split = Split.NONE
    interleaved: int = 1
    add: bool = False
    divide: bool = False
    where: str | None = None

    @property
    def per_layer(self) -> bool:
        """True if every layer has a file of this rule."""
        return "{layer}" in self.target

    @property
    def stacked(self) -> int:
        """Matrices or vectors in the target."""
        return 1 if self.add else len(self.sources) * self.interleaved

    def source_shape(self, shape: Shape) -> tuple[int, ...]:
        """Return the shape of each source."""
        outputs, *inputs = self._part(shape)
        return self.interleaved * outputs, *inputs

    def target_shape(self, shape: Shape) -> tuple[int, ...]:
        """Return the target's shape before ranks divide it.

        A matrix or a vector; where several are stacked, [in, stacked, out] or [stacked, out].
        """
        *inputs, outputs = self._part(shape)[:: -1 if self.transpose else 1]
        return (*inputs, outputs) if self.stacked == 1 else (*inputs, self.stacked, outputs)

    def elements(self, shape: Shape) -> int:
        """Return the number of weights of a layer, or of the whole model, in files of this rule."""
        return math.prod(self.target_shape(shape))

    def _part(self, shape: Shape) -> tuple[int, ...]:
        return tuple(getattr(shape, number) for number in self.shape)


def whole_tensor(target: str, source: str, *shape: str) -> TensorRule:
    """Return the rule of a file that has a tensor as it is, for every rank."""
    return TensorRule(target=target, sources=(source,), shape=shape)


def norm_rules(target: str, source: str) -> tuple[TensorRule, ...]:
    """Return the rules of a layer norm's two files, which every rank has whole."""
    return tuple(
        whole_tensor(f"{target}.{each}", f"{source}.{each}", "hidden")
        for each in ("weight", "bias")
    )


def shared_tensor(
    target: str, source: str, *shape: str, split: Split, interleaved: int = 1
) -> TensorRule:
    """Return the rule of a tensor that ranks share; Hugging Face has matrices as [out, in]."""
    return TensorRule(
        target=target,
        sources=(source,),
        shape=shape,
        transpose=len(shape) > 1,
        split=split,
        interleaved=interleaved,
    )


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
            reads the model as `read_config` does, whatever the checkpoint says; takes an
            `architecture`.
        context: Tokens of prompt and answer together that its published model was trained on, for
            models whose configuration says nothing.
        rules: The table of its tensors; `rules_of` has those of one model.
        head: The beginning of the names of the language-model head's tensors.
        ignored: Buffers that old checkpoints carry and no file needs; `{layer}` as in rules.
        value_heads: The beginnings of the names of heads that training by reinforcement adds, and
            that take no part in the generation of text.
        hidden_buffers: Vectors of the hidden size that the CPU engine holds for a token.
        inner_buffers: Those of the feed-forward layer's width.
        fp32_for: Formats that fastertransformer_backend takes for fp32, as it computes this family.
    """

    model_type: str
    triton_model_type: str
    section: str
    architecture: type[Architecture]
    config_json: Mapping[str, str]
    config_ini: Mapping[str, str]
    read_config: Callable[["ConfigReader"], Architecture]
    hugging_face: Callable[[Any], Mapping[str, object]]
    context: int
    rules: tuple[TensorRule, ...]
    head: str
    ignored: tuple[str, ...]
    value_heads: tuple[str, ...]
    hidden_buffers: int
    inner_buffers: int
    fp32_for: frozenset[DType] = frozenset()

    def rules_of(self, shape: Shape) -> tuple[TensorRule, ...]:
        """Return the rules of a model; all where only its size is known."""
        return tuple(
            rule for rule in self.rules if rule.where is None or getattr(shape, rule.where, True)
        )


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
            for rule in self.family.rules_of(self.shape)
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
    """Reads typed values from config.json, and collects their problems into one error.

    A key of an object in it is named with that object's: `rope_parameters.rope_theta`.
    """

    def __init__(self, config: Mapping[str, Any], release_format: ReleaseFormat) -> None:
        self._config = config
        self._release_format = release_format
        self._defaults: dict[str, float | str] = {}
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
        if self._value(key, absent) is None:
            return null
        return self.integer(key, default=absent)

    def number(self, *keys: str, default: float, is_fixed: bool = False) -> float:
        """Return a number above 0.

        Args:
            keys: Its names; where several are there, they must agree.
            default: Stands for a missing one.
            is_fixed: Whether FasterTransformer's code computes with the default only.
        """
        first = self.first(*keys)
        wanted = self._value(first, None)
        given = {key: value for key in keys if (value := self._value(key, None)) is not None}
        for key, value in given.items():
            if type(value) not in (int, float) or not 0 < value <= sys.float_info.max:
                self.refuse(key, "must be a number above 0")
                return default
            if value != wanted:
                self.refuse(key, f"must be {wanted}, as {first} is")
            elif is_fixed and value != default and self._for_fastertransformer:
                self.refuse(
                    key,
                    f"FasterTransformer computes {default:g} only; prepare the format "
                    f"{ReleaseFormat.HUGGINGFACE}, for vLLM",
                )
        return float(default if wanted is None else wanted)

    def first(self, *keys: str) -> str:
        """Return the first of several names of a value that is there, or the last."""
        return next((key for key in keys if self._value(key, None) is not None), keys[-1])

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._value(key, default)
        if type(value) is not bool:
            self.refuse(key, "must be true or false")
        return bool(value)

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

    def one_of(self, key: str, allowed: tuple[str, ...], *, default: str) -> str:
        """Return a word of those that the engines compute."""
        value = self._value(key, default)
        if value not in allowed:
            self.refuse(key, f"the engines compute {any_of(allowed)} only")
        return str(value)

    def refuse(self, key: str, rule: str) -> None:
        """Note that a key's value breaks a rule, unless it is known to break another."""
        if key in self._refused:
            return
        self._refused.add(key)
        given = "it is missing"
        if (value := self._value(key, _MISSING)) is not _MISSING:
            given = f"got {value!r}"
        elif key in self._defaults:
            given = f"got nothing, whose default is {self._defaults[key]}"
        self.problems.append(f"{key}: {rule}; {given}")

    def raise_problems(self) -> None:
        """Raise `FtServingError` with every problem found so far, if any."""
        if self.problems:
            raise FtServingError("config.json: " + "\n             ".join(self.problems))

    @property
    def _for_fastertransformer(self) -> bool:
        return self._release_format is ReleaseFormat.FASTERTRANSFORMER

    def _value(self, key: str, default: object) -> Any:  # noqa: ANN401 - JSON's
        if isinstance(default, (float, int, str)):
            self._defaults[key] = default
        value: Any = self._config
        for name in key.split("."):
            value = value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
        return default if value is _MISSING else value
