"""Checks a request against the model and works out each row's parameters."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np

from ft_serving.core.arrays import TokenArray
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.parameters import INPUTS, ROW_PARAMETERS, Range, Reach, RowParameters
from ft_serving.server.errors import RequestError
from ft_serving.server.requests.request import GenerationRequest
from ft_serving.server.requests.words import Word, decode_words

MOST_TOP_K = 1024
"""FasterTransformer's kernels consider no more; a larger k is taken for this one."""

_INT32 = 2**31 - 1

# numpy's kinds of the data types that a parameter's tensor may have.
_FLAG, _WHOLE, _NUMBER = "b", "iu", "fiu"
_KINDS = {
    name: _FLAG if it.is_flag else _WHOLE if it.is_whole else _NUMBER
    for name, it in ROW_PARAMETERS.items()
    if not it.is_words
}
_WORDS = {name: it.tensor.name for name, it in ROW_PARAMETERS.items() if it.is_words}

_KNOWN = frozenset(tensor.name for tensor in INPUTS)
_REQUIRED = frozenset(tensor.name for tensor in INPUTS if not tensor.optional)

_EXCLUSIVE = [
    (ROW_PARAMETERS[it.excludes].tensor.name, it.tensor.name)
    for it in ROW_PARAMETERS.values()
    if it.excludes
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """The tokens of the model that requests are for.

    Attributes:
        size: Token ids are below it.
        start_id: Token that a request without prompt and `start_id` starts from.
        end_id: Token that ends a text where a request has no `end_id`.
    """

    size: int
    start_id: int
    end_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RowPlan:
    """The checked parameters of one row of a request.

    Attributes:
        prompt: Tokens to start from, at least one.
        padded_length: Tokens that FasterTransformer counts as the prompt's.
        parameters: Each parameter but the words, or its default.
        stop_words: The words that end the text, as token ids; an empty one ends it after its first
            token, as FasterTransformer has it.
        bad_words: The words that the text must not have, likewise; an empty one forbids nothing.
    """

    prompt: TokenArray
    padded_length: int
    parameters: RowParameters
    stop_words: tuple[Word, ...]
    bad_words: tuple[Word, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RequestPlan:
    """A request whose parameters are known to be right; each is equal to itself only.

    Attributes:
        rows: At least one.
        prompt_length: S, the length that prompts were padded to.
    """

    rows: tuple[RowPlan, ...]
    prompt_length: int

    @property
    def beam_width(self) -> int:
        """The number of beams of a row; 1 samples."""
        return self.rows[0].parameters["beam_width"]

    @property
    def wants_log_probs(self) -> bool:
        """True if the request wants log probabilities."""
        return self.rows[0].parameters["log_probs"]

    @property
    def longest_output(self) -> int:
        """The most tokens that a row may get."""
        return max(row.parameters["output_length"] for row in self.rows)

    @property
    def result_bytes(self) -> int:
        """The size of a result's largest tensors."""
        tokens = self.prompt_length + self.longest_output * (2 if self.wants_log_probs else 1)
        return len(self.rows) * self.beam_width * tokens * 4


def plan_request(
    tensors: GenerationRequest, vocabulary: Vocabulary, limits: LengthLimits
) -> RequestPlan:
    """Check a request and return its parameters.

    Parameters that it leaves out take no time: 64 requests that come at once wait for each other.

    Raises:
        RequestError: It cannot be done; all that is wrong is named.
    """
    _check_names(tensors)
    ids = tensors["input_ids"]
    if ids.ndim != 2 or ids.shape[0] == 0 or ids.dtype.kind not in _WHOLE:
        raise RequestError(
            f"input_ids: must be whole numbers [rows, length] with at least one row; "
            f"got {ids.dtype} {list(ids.shape)}"
        )
    count, padded = ids.shape
    # First, because what is far too long costs memory to read. Padding counts: it is computed on
    # GPUs, and is part of what is sent back.
    if problem := limits.prompt_problem(padded):
        raise RequestError(f"input_ids: {problem}")
    reader = _Reader(tensors, count)
    lengths = reader.values("input_lengths", _WHOLE, Range(least=min(padded, 1), most=padded))
    columns = _columns(reader, vocabulary, padded)
    stop, bad = (reader.words(tensor, vocabulary.size) for tensor in _WORDS.values())
    defaults = _defaults(vocabulary)
    rows = []
    for row, length in enumerate(lengths):
        parameters = defaults | {name: column[row] for name, column in columns.items()}
        rows.append(
            RowPlan(
                prompt=reader.prompt(row, length, parameters["start_id"], vocabulary.size - 1),
                padded_length=padded or 1,
                parameters=cast("RowParameters", parameters),
                stop_words=stop[row],
                bad_words=bad[row],
            )
        )
    problems = [*reader.problems, *_length_problems(rows, limits), *_conflicts(tensors)]
    if problems:
        raise RequestError("; ".join(problems))
    return RequestPlan(rows=tuple(rows), prompt_length=padded)


def _check_names(tensors: GenerationRequest) -> None:
    if not _REQUIRED <= tensors.keys() <= _KNOWN:
        problems = [f"{name}: is required and missing" for name in _REQUIRED - tensors.keys()]
        unknown = [f"{name}: is unknown here" for name in tensors.keys() - _KNOWN]
        raise RequestError("; ".join(sorted(problems) + sorted(unknown)))


@lru_cache(maxsize=1)
def _defaults(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return each parameter's value where a request leaves it out."""
    convert = {_FLAG: bool, _WHOLE: int, _NUMBER: float}
    found: dict[str, Any] = {
        name: convert[kinds](ROW_PARAMETERS[name].default or 0) for name, kinds in _KINDS.items()
    }
    return found | {"start_id": vocabulary.start_id, "end_id": vocabulary.end_id}


def _columns(reader: "_Reader", vocabulary: Vocabulary, padded: int) -> dict[str, list[Any]]:
    """Return the values of the parameters that a request has, one a row, by parameter."""
    # The table cannot say these, because they depend on the model or on the prompts.
    token = Range(least=0, most=vocabulary.size - 1)
    own = {
        "output_length": Range(least=1, most=_INT32 - padded),
        "start_id": token,
        "end_id": token,
    }
    columns: dict[str, list[Any]] = {}
    for name, kinds in _KINDS.items():
        parameter = ROW_PARAMETERS[name]
        if parameter.tensor.name in reader.tensors:
            limits = own.get(name, parameter.limits)
            columns[name] = reader.values(parameter.tensor.name, kinds, limits)
    is_search = columns.get("beam_width", [1])[0] > 1
    for name, column in columns.items():
        reach = ROW_PARAMETERS[name].reach
        if reach is Reach.REQUEST or (is_search and reach is Reach.BEAM_SEARCH):
            # As FasterTransformer has it, the first row's value holds for all.
            column[:] = column[:1] * len(column)
    return columns


def _length_problems(rows: Sequence[RowPlan], limits: LengthLimits) -> Iterator[str]:
    """Say what is too long about the first such row."""
    for place, row in enumerate(rows):
        if problem := limits.problem(len(row.prompt), row.parameters["output_length"]):
            yield f"request_output_len: {problem}" + (f" (row {place})" if len(rows) > 1 else "")
            return


def _conflicts(tensors: GenerationRequest) -> Iterator[str]:
    """Say which tensors a request must not have, or not beside another."""
    for pair in _EXCLUSIVE:
        if all(name in tensors for name in pair):
            yield f"{', '.join(pair)}: exclude each other; send only one"
    if "prompt_learning_task_name_ids" in tensors:
        yield "prompt_learning_task_name_ids: the model has no learned prompts; leave it out"


class _Reader:
    """Reads a request's tensors, a value a row, and collects what is wrong with them."""

    def __init__(self, tensors: GenerationRequest, rows: int) -> None:
        self.tensors = tensors
        self.problems: list[str] = []
        self._rows = rows
        self._shapes = ((1, 1), (1,), (), (rows,), (rows, 1))

    def values(self, name: str, kinds: str, limits: Range) -> list[Any]:
        """Return a tensor's values, one a row; after noting a problem, any."""
        given = self.tensors[name]
        substitute = [max(limits.least, 0)] * self._rows
        if given.dtype.kind not in kinds or given.shape not in self._shapes:
            kind = {_FLAG: "booleans", _WHOLE: "whole numbers", _NUMBER: "numbers"}[kinds]
            self.problems.append(
                f"{name}: must be {kind} [1] or [{self._rows}]; "
                f"got {given.dtype} {list(given.shape)}"
            )
            return substitute
        read = given
        if kinds is _NUMBER and given.dtype != np.float32:
            with np.errstate(over="ignore"):
                read = given.astype(np.float32)
        numbers: list[Any] = read.reshape(-1).tolist()
        for place, number in enumerate(numbers):
            rule = _broken_rule(number, kinds, limits)
            if rule:
                self.problems.append(f"{name}: must be {rule}; got {given.reshape(-1)[place]}")
                return substitute
        return numbers if len(numbers) == self._rows else numbers * self._rows

    def words(self, name: str, vocab_size: int) -> list[tuple[Word, ...]]:
        """Return each row's words."""
        value = self.tensors.get(name)
        none: list[tuple[Word, ...]] = [()] * self._rows
        if value is None:
            return none
        lists = value if value.ndim == 3 else value[None]
        if (
            lists.ndim != 3
            or lists.shape[0] not in (1, self._rows)
            or lists.shape[1] != 2
            or lists.dtype.kind not in _WHOLE
        ):
            self.problems.append(
                f"{name}: must be whole numbers [{self._rows}, 2, n] or [2, n]; "
                f"got {value.dtype} {list(value.shape)}"
            )
            return none
        try:
            decoded = [decode_words(ids, ends, vocab_size) for ids, ends in lists.tolist()]
        except ValueError as exc:
            self.problems.append(f"{name}: {exc}")
            return none
        return decoded * (self._rows // len(decoded))

    def prompt(self, row: int, length: int, start_id: int, last_id: int) -> TokenArray:
        """Return the tokens of a row without padding, or the start token where there are none."""
        if length == 0:
            return np.array([start_id], np.uint32)
        tokens = self.tensors["input_ids"][row, :length]
        if tokens.max() > last_id or (tokens.dtype.kind == "i" and tokens.min() < 0):
            place = int(((tokens < 0) | (tokens > last_id)).argmax())
            self.problems.append(
                f"input_ids: must be from 0 to {last_id}, the vocabulary; "
                f"got {tokens[place]} in row {row} at {place}"
            )
            return np.zeros(1, np.uint32)
        return tokens.astype(np.uint32)


def _broken_rule(number: float, kinds: str, limits: Range) -> str | None:
    """Return what a number must be and is not, or None."""
    if kinds is _NUMBER and not math.isfinite(number):
        return "finite"
    if limits.has(number):
        return None
    if kinds is _WHOLE:
        return f"from {limits.least} to {limits.most}"
    if number < limits.least:
        return f"at least {limits.least:.1f}"
    return f"above {limits.above:.1f}" if number <= limits.above else f"at most {limits.most:.1f}"
