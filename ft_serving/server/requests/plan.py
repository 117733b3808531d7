"""Checks a request against the model and works out each row's parameters."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ft_serving.core.arrays import TokenArray
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.parameters import (
    ROW_PARAMETERS,
    Parameter,
    Range,
    Reach,
    RowParameters,
)
from ft_serving.server.errors import RequestError
from ft_serving.server.requests.request import GenerationRequest
from ft_serving.server.requests.words import Word, decode_words

MOST_TOP_K = 1024
"""FasterTransformer's kernels consider no more; a larger k is taken for this one."""

_INT32 = 2**31 - 1


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
    """What one row of a request asks for.

    Attributes:
        prompt: Tokens to start from, at least one.
        padded_length: Tokens that FasterTransformer counts as the prompt's.
        parameters: Each parameter but the words, checked, or its default.
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
        """How many beams a row has; 1 samples."""
        return self.rows[0].parameters["beam_width"]

    @property
    def wants_log_probs(self) -> bool:
        """Whether to return log probabilities."""
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
    request: GenerationRequest, vocabulary: Vocabulary, limits: LengthLimits
) -> RequestPlan:
    """Check a request.

    Raises:
        RequestError: It cannot be done; all that is wrong is named.
    """
    row_count, padded = _prompt_shape(request)
    # First, because what is far too long costs memory to read. Padding counts: it is computed on
    # GPUs, and is part of what is sent back.
    if problem := limits.prompt_problem(padded):
        raise RequestError(f"input_ids: {problem}")
    reader = _Reader(request, row_count)
    rows = _plan_rows(reader, vocabulary, padded)
    reader.problems += _length_problems(rows, limits)
    reader.problems += _conflicts(request.tensors)
    if reader.problems:
        raise RequestError("; ".join(reader.problems))
    return RequestPlan(rows=tuple(rows), prompt_length=padded)


def _prompt_shape(request: GenerationRequest) -> tuple[int, int]:
    """Return [B, S]; nothing else can be judged without."""
    ids = request.tensors["input_ids"]
    if len(ids.shape) != 2 or ids.shape[0] == 0 or ids.dtype.kind not in "iu":
        raise RequestError(
            f"input_ids: must be whole numbers [rows, length] with at least one row; "
            f"got {ids.dtype} {list(ids.shape)}"
        )
    return ids.shape


def _length_problems(rows: Sequence[RowPlan], limits: LengthLimits) -> Iterator[str]:
    """Say what is too long about the first such row."""
    for place, row in enumerate(rows):
        if problem := limits.problem(len(row.prompt), row.parameters["output_length"]):
            yield f"request_output_len: {problem}" + (f" (row {place})" if len(rows) > 1 else "")
            return


def _conflicts(tensors: Collection[str]) -> Iterator[str]:
    """Say which tensors a request must not have, or not beside another."""
    for parameter in ROW_PARAMETERS.values():
        if parameter.excludes:
            pair = [ROW_PARAMETERS[parameter.excludes].tensor.name, parameter.tensor.name]
            if all(name in tensors for name in pair):
                yield f"{', '.join(pair)}: exclude each other; send only one"
    if "prompt_learning_task_name_ids" in tensors:
        yield "prompt_learning_task_name_ids: the model has no learned prompts; leave it out"


def _plan_rows(reader: "_Reader", vocabulary: Vocabulary, padded: int) -> list[RowPlan]:
    lengths = reader.integers("input_lengths", Range(least=min(padded, 1), most=padded))
    columns = _columns(reader, vocabulary, padded)
    is_search = columns["beam_width"][0] > 1

    def parameters(row: int) -> RowParameters:
        values = {
            name: columns[name][0 if _is_shared(parameter, is_search=is_search) else row]
            for name, parameter in ROW_PARAMETERS.items()
            if not parameter.is_words
        }
        return cast("RowParameters", values)

    return [
        RowPlan(
            prompt=reader.prompt(row, length, columns["start_id"][row], vocabulary.size - 1),
            padded_length=max(padded, 1),
            parameters=parameters(row),
            stop_words=columns["stop"][row],
            bad_words=columns["bad"][row],
        )
        for row, length in enumerate(lengths)
    ]


def _columns(reader: "_Reader", vocabulary: Vocabulary, padded: int) -> dict[str, list[Any]]:
    """Return each parameter's values, one a row, by the parameter's name."""
    # What the table cannot say, because it depends on the model or on the prompts.
    own = {"start_id": vocabulary.start_id, "end_id": vocabulary.end_id}
    most = {"output_length": _INT32 - padded, **dict.fromkeys(own, vocabulary.size - 1)}
    columns: dict[str, list[Any]] = {}
    for name, parameter in ROW_PARAMETERS.items():
        tensor, default = parameter.tensor.name, own.get(name, parameter.default)
        limits = parameter.limits
        if name in most:
            limits = replace(limits, most=most[name])
        if parameter.is_words:
            columns[name] = reader.words(tensor, vocabulary.size)
        elif parameter.is_flag:
            columns[name] = reader.flags(tensor, default)
        elif parameter.is_whole:
            columns[name] = reader.integers(tensor, limits, default)
        else:
            columns[name] = reader.numbers(tensor, limits, default)
    return columns


def _is_shared(parameter: Parameter, *, is_search: bool) -> bool:
    """Tell whether the first row's value holds for all rows, as FasterTransformer has it."""
    return parameter.reach is Reach.REQUEST or (is_search and parameter.reach is Reach.BEAM_SEARCH)


class _Reader:
    """Reads a request's tensors, a value a row, and collects what is wrong with them."""

    def __init__(self, request: GenerationRequest, rows: int) -> None:
        self._tensors = request.tensors
        self._rows = rows
        self.problems: list[str] = []

    def integers(self, name: str, limits: Range, default: float | None = None) -> list[int]:
        values = self._values(name, "iu", default)
        fallback = int(limits.least if default is None else default)
        if values is None:
            return [fallback] * self._rows
        numbers: list[int] = values.tolist()
        wrong = [number for number in numbers if not limits.has(number)]
        if wrong:
            self.problems.append(
                f"{name}: must be from {limits.least} to {limits.most}; got {wrong[0]}"
            )
            return [fallback] * self._rows
        return numbers

    def numbers(self, name: str, limits: Range, default: float | None) -> list[float]:
        values = self._values(name, "fiu", default)
        fallback = [float(default or 0)] * self._rows
        if values is None:
            return fallback
        with np.errstate(over="ignore"):
            numbers = values.astype(np.float32)
        wrong, rule = ~np.isfinite(numbers), "must be finite"
        for outside, limit in (
            (numbers < limits.least, f"at least {limits.least:.1f}"),
            (numbers <= limits.above, f"above {limits.above:.1f}"),
            (numbers > limits.most, f"at most {limits.most:.1f}"),
        ):
            if not wrong.any():
                wrong, rule = outside, f"must be {limit}"
        if wrong.any():
            self.problems.append(f"{name}: {rule}; got {values[wrong][0]}")
            return fallback
        result: list[float] = numbers.tolist()
        return result

    def flags(self, name: str, default: float | None) -> list[bool]:
        values = self._values(name, "b", default)
        return [bool(default)] * self._rows if values is None else values.tolist()

    def words(self, name: str, vocab_size: int) -> list[tuple[Word, ...]]:
        """Return each row's words."""
        value = self._tensors.get(name)
        none: list[tuple[Word, ...]] = [()] * self._rows
        if value is None:
            return none
        lists = value if value.ndim == 3 else value[None]
        if (
            lists.ndim != 3
            or lists.shape[0] not in (1, self._rows)
            or lists.shape[1] != 2
            or lists.dtype.kind not in "iu"
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
        """Return the tokens of a row without padding, or what stands for none."""
        if length == 0:
            return np.array([start_id], np.uint32)
        tokens = self._tensors["input_ids"][row, :length]
        wrong = (tokens < 0) | (tokens > last_id)
        if wrong.any():
            place = int(wrong.argmax())
            self.problems.append(
                f"input_ids: must be from 0 to {last_id}, the vocabulary; "
                f"got {tokens[place]} in row {row} at {place}"
            )
            return np.zeros(1, np.uint32)
        return tokens.astype(np.uint32)

    def _values(self, name: str, kinds: str, default: object) -> npt.NDArray[Any] | None:
        """Return a tensor's values, one a row, or None for the default."""
        value = self._tensors.get(name)
        if value is None and default is not None:
            return None
        if value is None or value.dtype.kind not in kinds or not self._is_per_row(value.shape):
            kind = {"b": "booleans", "iu": "whole numbers"}.get(kinds, "numbers")
            got = "nothing" if value is None else f"{value.dtype} {list(value.shape)}"
            self.problems.append(f"{name}: must be {kind} [1] or [{self._rows}]; got {got}")
            return None
        flat: npt.NDArray[Any] = np.broadcast_to(value.reshape(-1), self._rows)
        return flat

    def _is_per_row(self, shape: tuple[int, ...]) -> bool:
        return shape in ((), (1,), (1, 1), (self._rows,), (self._rows, 1))
