"""Holds the inputs of the model: the table of a generation's parameters, and the prompts.

A parameter has its type and help in `Parameters`, or in `RowParameters` where this project's client
does not send it, and its row in the table. From them come its input in config.pbtxt, its checks in
the server and the client, its field in files of requests and its option of `ft-serving generate`.
Each engine says what it means.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, TypedDict, get_args, get_type_hints

from ft_serving.core.protocol import VARIABLE, TensorSpec, TensorType

BOOL, FP32, INT32 = TensorType.BOOL, TensorType.FP32, TensorType.INT32
UINT32, UINT64 = TensorType.UINT32, TensorType.UINT64


class Reach(Enum):
    """The rows of a request that the value of a row holds for.

    `BEAM_SEARCH` is what FasterTransformer's `BaseBeamSearchLayer.cu` reads once a request.
    """

    ROW = "its own"
    BEAM_SEARCH = "its own; in a beam search the first row's holds for all"
    REQUEST = "the first row's holds for all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The numbers from `least` to `most` that are above `above`."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf

    def has(self, number: float) -> bool:
        """Return whether a number is one of them."""
        return self.least <= number <= self.most and number > self.above


_RANGES = {
    INT32: Range(least=0, most=2**31 - 1),
    UINT32: Range(least=0, most=2**32 - 1),
    UINT64: Range(least=0, most=2**64 - 1),
    FP32: Range(),
    BOOL: Range(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A row of the table.

    Attributes:
        tensor: The input that carries it.
        help: The parameter's effect, for users.
        default: The value where a request leaves it out. None where the table cannot say it: the
            model's own token, no words, or there must be one.
        limits: The numbers that the server takes: FasterTransformer's.
        client_limits: The numbers that this project's client sends.
        reach: The rows that the value of a row holds for.
        excludes: Name of the parameter that a request must not have beside it.
    """

    tensor: TensorSpec
    help: str
    default: float | None
    limits: Range
    client_limits: Range
    reach: Reach
    excludes: str | None

    @property
    def is_words(self) -> bool:
        """True for a list of words."""
        return len(self.tensor.dims) > 1

    @property
    def is_flag(self) -> bool:
        """True for a flag."""
        return self.tensor.dtype is BOOL

    @property
    def is_whole(self) -> bool:
        """True for a whole number, false for another number."""
        return self.tensor.dtype is not FP32


class Parameters(TypedDict, total=False):
    """Parameters of a generation, with their help; the server decides what is left out."""

    output_length: Annotated[int, "Most tokens to generate; 64 if not given."]
    top_k: Annotated[int, "Draw from so many of the likeliest tokens; 0 is no limit."]
    top_p: Annotated[float, "Draw from the likeliest tokens of so much probability; 0 is no limit."]
    temperature: Annotated[float, "Below 1 more predictable, above 1 more varied."]
    repetition_penalty: Annotated[float, "Factor against tokens that the text already has."]
    presence_penalty: Annotated[
        float, "Subtracted from the logits of tokens that the text already has."
    ]
    min_length: Annotated[int, "Tokens before which the text may not end."]
    seed: Annotated[int, "Seed of the draws; 0 if not given."]
    beam_width: Annotated[int, "Search with so many beams instead of drawing."]
    len_penalty: Annotated[float, "Beams' scores are divided by length to this power."]
    beam_search_diversity_rate: Annotated[
        float, "Beams' scores rise by this times a candidate's rank."
    ]
    stop: Annotated[list[str], "Word that ends the text; may be repeated."]
    bad: Annotated[list[str], "Word that must not occur; may be repeated."]
    log_probs: Annotated[bool, "Ask for log probabilities; --json shows them."]
    end_id: Annotated[int, "Token id that ends the text; the model's if not given."]


class RowParameters(Parameters, total=False):
    """Parameters of a row of a request: with those that this project's client does not send."""

    start_id: Annotated[int, "Token that a text without prompt follows."]
    top_p_decay: Annotated[float, "Factor for top p a token."]
    top_p_min: Annotated[float, "Top p that the decay ends at."]
    top_p_reset_ids: Annotated[int, "Token that gives top p its first value again."]


def _row(
    tensor: str | TensorSpec,
    dtype: TensorType,
    default: float | None = None,
    *,
    limits: Range | None = None,
    client_limits: Range | None = None,
    reach: Reach = Reach.ROW,
    excludes: str | None = None,
) -> Parameter:
    """Return a row without its help; the limits are those of the data type unless given.

    A tensor that is only named is optional and has one value a row of a request.
    """
    if isinstance(tensor, str):
        tensor = TensorSpec(name=tensor, dtype=dtype, dims=(1,), scalar=True, optional=True)
    limits = limits or _RANGES[dtype]
    return Parameter(
        tensor=tensor,
        help="",
        default=default,
        limits=limits,
        client_limits=client_limits or limits,
        reach=reach,
        excludes=excludes,
    )


def _words(tensor: str) -> Parameter:
    """Return a row for words, in a tensor that `ft_serving.server.requests.words` explains."""
    spec = TensorSpec(name=tensor, dtype=INT32, dims=(2, VARIABLE), optional=True)
    return _row(spec, INT32)


_OUTPUT_LENGTH = TensorSpec(name="request_output_len", dtype=UINT32, dims=(VARIABLE,))
_BEAMS = Reach.BEAM_SEARCH
_ROWS = {
    "output_length": _row(_OUTPUT_LENGTH, UINT32, limits=Range(least=1, most=2**31 - 1)),
    # FasterTransformer takes more for 1024.
    "top_k": _row("runtime_top_k", UINT32, 0, client_limits=Range(least=0, most=1024)),
    # FasterTransformer clips it. It holds within the top k where both are given; with neither, the
    # likeliest token is taken.
    "top_p": _row("runtime_top_p", FP32, 0, client_limits=Range(least=0, most=1)),
    # Divides the logits; 0 is as good as greedy.
    "temperature": _row("temperature", FP32, 1, limits=Range(least=0), reach=_BEAMS),
    "repetition_penalty": _row("repetition_penalty", FP32, 1, limits=Range(above=0), reach=_BEAMS),
    "presence_penalty": _row(
        "presence_penalty", FP32, 0, reach=_BEAMS, excludes="repetition_penalty"
    ),
    "min_length": _row("min_length", INT32, 0, reach=_BEAMS),
    # The same for all rows, as it is by default, it gives rows with the same prompt the same text.
    "seed": _row("random_seed", UINT64, 0),
    # 1 samples; FasterTransformer's beam search has kernels for up to 64.
    "beam_width": _row(
        "beam_width", UINT32, 1, limits=Range(least=1, most=64), reach=Reach.REQUEST
    ),
    "len_penalty": _row("len_penalty", FP32, 0, reach=_BEAMS),
    "beam_search_diversity_rate": _row("beam_search_diversity_rate", FP32, 0, reach=_BEAMS),
    # Words stay a part of the text that they end.
    "stop": _words("stop_words_list"),
    "bad": _words("bad_words_list"),
    "log_probs": _row("is_return_log_probs", BOOL, default=False, reach=Reach.REQUEST),
    # Servers take a token of their model; what a client sends fits older ones' INT32, too.
    "end_id": _row("end_id", UINT32, client_limits=Range(least=0, most=2**31 - 1)),
    # The text does not contain it. The model's by default.
    "start_id": _row("start_id", UINT32),
    # The decay is for rows without top k, and 1 where it is outside 0..1; its end likewise 0.5.
    "top_p_decay": _row("top_p_decay", FP32, 1),
    "top_p_min": _row("top_p_min", FP32, 1e-6),
    "top_p_reset_ids": _row("top_p_reset_ids", UINT32, -1),
}


def _table(names: type[Parameters]) -> dict[str, Parameter]:
    hints = get_type_hints(names, include_extras=True)
    return {name: replace(_ROWS[name], help=get_args(hint)[1]) for name, hint in hints.items()}


PARAMETERS: Mapping[str, Parameter] = _table(Parameters)
"""The parameters that this project's client sends, by name."""

ROW_PARAMETERS: Mapping[str, Parameter] = _table(RowParameters)
"""The parameters that servers take, by name."""

_PROMPTS = (
    TensorSpec(name="input_ids", dtype=UINT32, dims=(VARIABLE,), ragged=True),
    TensorSpec(name="input_lengths", dtype=UINT32, dims=(1,), scalar=True),
    # Of learned prompts, which no model here has.
    TensorSpec(
        name="prompt_learning_task_name_ids", dtype=UINT32, dims=(1,), scalar=True, optional=True
    ),
)
# A release's bytes depend on the order: NVIDIA's, and what its configuration lacks behind it.
_ORDER = (
    *("input_ids", "start_id", "end_id", "input_lengths", "request_output_len", "runtime_top_k"),
    *("runtime_top_p", "beam_search_diversity_rate", "temperature", "len_penalty"),
    *("repetition_penalty", "presence_penalty", "min_length", "random_seed"),
    *("is_return_log_probs", "beam_width", "bad_words_list", "stop_words_list"),
    *("prompt_learning_task_name_ids", "top_p_decay", "top_p_min", "top_p_reset_ids"),
)
INPUTS = tuple(
    sorted(
        (*_PROMPTS, *(row.tensor for row in ROW_PARAMETERS.values())),
        key=lambda it: _ORDER.index(it.name) if it.name in _ORDER else len(_ORDER),
    )
)
"""The model's inputs, in the order that config.pbtxt has them in."""
