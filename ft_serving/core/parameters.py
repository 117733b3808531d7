"""The inputs of the model: the table of a generation's parameters, and the prompts beside them.

A parameter is a row of `Parameters`, or of `RowParameters` where this project's client does not
send it. From the row come its input in config.pbtxt, its checks in the server and the client, its
field in files of requests and its option of `ft-serving generate`. Each engine says what it means.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, TypedDict, get_args, get_type_hints

from ft_serving.core.protocol import VARIABLE, TensorSpec, TensorType

BOOL, FP32, INT32 = TensorType.BOOL, TensorType.FP32, TensorType.INT32
UINT32, UINT64 = TensorType.UINT32, TensorType.UINT64


class Reach(Enum):
    """Which rows of a request the value of a row holds for.

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
        """Tell whether a number is one of them."""
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
        help: What it does, for users.
        default: What holds where a request leaves it out. None where the table cannot say it: the
            model's own token, no words, or there must be one.
        limits: The numbers that the server takes: FasterTransformer's.
        client_limits: The numbers that this project's client sends.
        reach: Which rows the value of a row holds for.
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
        """Whether it is a list of words."""
        return len(self.tensor.dims) > 1

    @property
    def is_flag(self) -> bool:
        """Whether it is true or false."""
        return self.tensor.dtype is BOOL

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number, where it is a number."""
        return self.tensor.dtype is not FP32


def _row(
    tensor: str | TensorSpec,
    dtype: TensorType,
    text: str,
    default: float | None = None,
    *,
    limits: Range | None = None,
    client_limits: Range | None = None,
    reach: Reach = Reach.ROW,
    excludes: str | None = None,
) -> Parameter:
    """Return a row; the limits are those of the data type unless they are given.

    A tensor that is only named is optional and has one value a row of a request.
    """
    if isinstance(tensor, str):
        tensor = TensorSpec(name=tensor, dtype=dtype, dims=(1,), scalar=True, optional=True)
    limits = limits or _RANGES[dtype]
    return Parameter(
        tensor=tensor,
        help=text,
        default=default,
        limits=limits,
        client_limits=client_limits or limits,
        reach=reach,
        excludes=excludes,
    )


def _words(tensor: str, text: str) -> Parameter:
    """Return a row for words: a tensor that `ft_serving.server.requests.words` explains."""
    spec = TensorSpec(name=tensor, dtype=INT32, dims=(2, VARIABLE), optional=True)
    return _row(spec, INT32, text)


_OUTPUT_LENGTH = TensorSpec(name="request_output_len", dtype=UINT32, dims=(VARIABLE,))


class Parameters(TypedDict, total=False):
    """Parameters of a generation, and the table's rows; the server decides what is left out.

    The types are those that a client gives.
    """

    output_length: Annotated[
        int,
        _row(
            _OUTPUT_LENGTH,
            UINT32,
            "Most tokens to generate; 64 if not given.",
            limits=Range(least=1, most=2**31 - 1),
        ),
    ]
    # FasterTransformer takes more for 1024.
    top_k: Annotated[
        int,
        _row(
            "runtime_top_k",
            UINT32,
            "Draw from so many of the likeliest tokens; 0 is no limit.",
            0,
            client_limits=Range(least=0, most=1024),
        ),
    ]
    # FasterTransformer clips it. It holds within the top k where both are given; with neither, the
    # likeliest token is taken.
    top_p: Annotated[
        float,
        _row(
            "runtime_top_p",
            FP32,
            "Draw from the likeliest tokens of so much probability; 0 is no limit.",
            0,
            client_limits=Range(least=0, most=1),
        ),
    ]
    # Divides the logits; 0 is as good as greedy.
    temperature: Annotated[
        float,
        _row(
            "temperature",
            FP32,
            "Below 1 bolder, above 1 more varied.",
            1,
            limits=Range(least=0),
            reach=Reach.BEAM_SEARCH,
        ),
    ]
    repetition_penalty: Annotated[
        float,
        _row(
            "repetition_penalty",
            FP32,
            "Factor against tokens that the text already has.",
            1,
            limits=Range(above=0),
            reach=Reach.BEAM_SEARCH,
        ),
    ]
    presence_penalty: Annotated[
        float,
        _row(
            "presence_penalty",
            FP32,
            "Subtracted from the logits of tokens that the text already has.",
            0,
            reach=Reach.BEAM_SEARCH,
            excludes="repetition_penalty",
        ),
    ]
    min_length: Annotated[
        int,
        _row(
            "min_length",
            INT32,
            "Tokens before which the text may not end.",
            0,
            reach=Reach.BEAM_SEARCH,
        ),
    ]
    # The same for all rows, as it is by default, it gives rows with the same prompt the same text.
    seed: Annotated[int, _row("random_seed", UINT64, "Seed of the draws; 0 if not given.", 0)]
    # 1 samples; FasterTransformer's beam search has kernels for up to 64.
    beam_width: Annotated[
        int,
        _row(
            "beam_width",
            UINT32,
            "Search with so many beams instead of drawing.",
            1,
            limits=Range(least=1, most=64),
            reach=Reach.REQUEST,
        ),
    ]
    len_penalty: Annotated[
        float,
        _row(
            "len_penalty",
            FP32,
            "Beams' scores are divided by length to this power.",
            0,
            reach=Reach.BEAM_SEARCH,
        ),
    ]
    beam_search_diversity_rate: Annotated[
        float,
        _row(
            "beam_search_diversity_rate",
            FP32,
            "Beams' scores rise by this times a candidate's rank.",
            0,
            reach=Reach.BEAM_SEARCH,
        ),
    ]
    # Words stay a part of the text that they end.
    stop: Annotated[
        list[str], _words("stop_words_list", "Word that ends the text; may be repeated.")
    ]
    bad: Annotated[
        list[str], _words("bad_words_list", "Word that must not occur; may be repeated.")
    ]
    log_probs: Annotated[
        bool,
        _row(
            "is_return_log_probs",
            BOOL,
            "Ask for log probabilities; --json shows them.",
            default=False,
            reach=Reach.REQUEST,
        ),
    ]
    # Servers take a token of their model; what a client sends fits older ones' INT32, too.
    end_id: Annotated[
        int,
        _row(
            "end_id",
            UINT32,
            "Token id that ends the text; the model's if not given.",
            client_limits=Range(least=0, most=2**31 - 1),
        ),
    ]


class RowParameters(Parameters, total=False):
    """Parameters of a row of a request: with those that this project's client does not send."""

    # The text does not contain it. The model's by default.
    start_id: Annotated[int, _row("start_id", UINT32, "Token that a text without prompt follows.")]
    # The decay is for rows without top k, and 1 where it is outside 0..1; its end likewise 0.5.
    top_p_decay: Annotated[float, _row("top_p_decay", FP32, "Factor for top p a token.", 1)]
    top_p_min: Annotated[float, _row("top_p_min", FP32, "Top p that the decay ends at.", 1e-6)]
    top_p_reset_ids: Annotated[
        int, _row("top_p_reset_ids", UINT32, "Token that gives top p its first value again.", -1)
    ]


def _rows(table: type[Parameters]) -> dict[str, Parameter]:
    hints = get_type_hints(table, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items()}


PARAMETERS: Mapping[str, Parameter] = _rows(Parameters)
"""The parameters that this project's client sends, by name."""

ROW_PARAMETERS: Mapping[str, Parameter] = _rows(RowParameters)
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
