"""Checks a request against the model and works out each row's parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ft_serving.core.lengths import LengthLimits
from ft_serving.server.arrays import TokenArray
from ft_serving.server.errors import RequestError
from ft_serving.server.requests.request import GenerationRequest
from ft_serving.server.requests.words import Word, decode_words

MOST_BEAMS = 64
"""FasterTransformer's beam search has kernels up to this width."""

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
    """What one row of a request asks for; `GenerationRequest` explains the parameters.

    Attributes:
        prompt: Tokens to start from, at least one.
        padded_length: Tokens that FasterTransformer counts as the prompt's.
    """

    prompt: TokenArray
    padded_length: int
    output_len: int
    end_id: int
    top_k: int
    top_p: float
    top_p_decay: float
    top_p_min: float
    top_p_reset_id: int
    temperature: float
    repetition_penalty: float
    presence_penalty: float
    min_length: int
    random_seed: int
    len_penalty: float
    diversity_rate: float
    bad_words: tuple[Word, ...]
    stop_words: tuple[Word, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RequestPlan:
    """A request whose parameters are known to be right; each is equal to itself only.

    Attributes:
        rows: At least one.
        beam_width: 1 samples.
        prompt_length: S, the length that prompts were padded to.
        wants_log_probs: Whether to return log probabilities.
    """

    rows: tuple[RowPlan, ...]
    beam_width: int
    prompt_length: int
    wants_log_probs: bool

    @property
    def result_bytes(self) -> int:
        """The size of a result's largest tensors."""
        most = max(row.output_len for row in self.rows)
        tokens = self.prompt_length + most * (2 if self.wants_log_probs else 1)
        return len(self.rows) * self.beam_width * tokens * 4


def plan_request(
    request: GenerationRequest, vocabulary: Vocabulary, limits: LengthLimits
) -> RequestPlan:
    """Check a request.

    Beam search takes temperature, penalties, lengths and diversity from the first row for all
    rows, as FasterTransformer's `BaseBeamSearchLayer.cu` does.

    Raises:
        RequestError: It cannot be done; all that is wrong is named.
    """
    row_count, padded = _prompt_shape(request)
    # First, because what is far too long costs memory to read. Padding counts: it is computed on
    # GPUs, and is part of what is sent back.
    if problem := limits.prompt_problem(padded):
        raise RequestError(f"input_ids: {problem}")
    reader = _Reader(request, row_count)
    width = reader.integers("beam_width", default=1, least=1, most=MOST_BEAMS)[0]
    rows = _plan_rows(reader, request, vocabulary, shared=width > 1)
    reader.problems += _length_problems(rows, limits)
    wants_log_probs = reader.flag("is_return_log_probs")
    if request.repetition_penalty is not None and request.presence_penalty is not None:
        reader.problems.append(
            "repetition_penalty, presence_penalty: exclude each other; send only one"
        )
    if request.prompt_learning_task_name_ids is not None:
        reader.problems.append(
            "prompt_learning_task_name_ids: the model has no learned prompts; leave it out"
        )
    if reader.problems:
        raise RequestError("; ".join(reader.problems))
    return RequestPlan(
        rows=tuple(rows),
        beam_width=width,
        prompt_length=padded,
        wants_log_probs=wants_log_probs,
    )


def _prompt_shape(request: GenerationRequest) -> tuple[int, int]:
    """Return [B, S]; nothing else can be judged without."""
    shape = request.input_ids.shape
    if len(shape) != 2 or shape[0] == 0 or request.input_ids.dtype.kind not in "iu":
        raise RequestError(
            f"input_ids: must be whole numbers [rows, length] with at least one row; "
            f"got {request.input_ids.dtype} {list(shape)}"
        )
    return shape


def _length_problems(rows: Sequence[RowPlan], limits: LengthLimits) -> Iterator[str]:
    """Say what is too long about the first such row."""
    for place, row in enumerate(rows):
        if problem := limits.problem(len(row.prompt), row.output_len):
            yield f"request_output_len: {problem}" + (f" (row {place})" if len(rows) > 1 else "")
            return


def _plan_rows(
    reader: "_Reader", request: GenerationRequest, vocabulary: Vocabulary, *, shared: bool
) -> list[RowPlan]:
    padded = request.input_ids.shape[1]
    last_id = vocabulary.size - 1
    lengths = reader.integers("input_lengths", least=min(padded, 1), most=padded)
    limits = reader.integers("request_output_len", least=1, most=_INT32 - padded)
    start_ids = reader.integers("start_id", default=vocabulary.start_id, most=last_id)
    end_ids = reader.integers("end_id", default=vocabulary.end_id, most=last_id)
    top_ks = reader.integers("runtime_top_k", default=0)
    top_ps = reader.numbers("runtime_top_p", default=0.0)
    decays = reader.numbers("top_p_decay", default=1.0)
    top_p_minima = reader.numbers("top_p_min", default=1e-6)
    resets = reader.integers("top_p_reset_ids", default=-1)
    temperatures = reader.numbers("temperature", default=1.0, least=0.0)
    repetition = reader.numbers("repetition_penalty", default=1.0, above=0.0)
    presence = reader.numbers("presence_penalty", default=0.0)
    min_lengths = reader.integers("min_length", default=0)
    seeds = reader.integers("random_seed", default=0, most=2**64 - 1)
    len_penalties = reader.numbers("len_penalty", default=0.0)
    diversity = reader.numbers("beam_search_diversity_rate", default=0.0)
    bad_words = reader.words("bad_words_list", vocabulary.size)
    stop_words = reader.words("stop_words_list", vocabulary.size)
    rows = []
    for row, length in enumerate(lengths):
        first = 0 if shared else row
        rows.append(
            RowPlan(
                prompt=reader.prompt(row, length, start_ids[row], last_id),
                padded_length=max(padded, 1),
                output_len=limits[row],
                end_id=end_ids[row],
                top_k=top_ks[row],
                top_p=top_ps[row],
                top_p_decay=decays[row],
                top_p_min=top_p_minima[row],
                top_p_reset_id=resets[row],
                temperature=temperatures[first],
                repetition_penalty=repetition[first],
                presence_penalty=presence[first],
                min_length=min_lengths[first],
                random_seed=seeds[row],
                len_penalty=len_penalties[first],
                diversity_rate=diversity[first],
                bad_words=bad_words[row],
                stop_words=stop_words[row],
            )
        )
    return rows


class _Reader:
    """Reads a request's tensors, a value a row, and collects what is wrong with them."""

    def __init__(self, request: GenerationRequest, rows: int) -> None:
        self._request = request
        self._rows = rows
        self.problems: list[str] = []

    def integers(
        self, name: str, *, default: int | None = None, least: int = 0, most: int = 2**32 - 1
    ) -> list[int]:
        values = self._values(name, "iu", default)
        fallback = least if default is None else default
        if values is None:
            return [fallback] * self._rows
        numbers: list[int] = values.tolist()
        wrong = [number for number in numbers if not least <= number <= most]
        if wrong:
            self.problems.append(f"{name}: must be from {least} to {most}; got {wrong[0]}")
            return [fallback] * self._rows
        return numbers

    def numbers(
        self,
        name: str,
        *,
        default: float,
        least: float | None = None,
        above: float | None = None,
    ) -> list[float]:
        values = self._values(name, "fiu", default)
        if values is None:
            return [default] * self._rows
        with np.errstate(over="ignore"):
            numbers = values.astype(np.float32)
        wrong, rule = ~np.isfinite(numbers), "must be finite"
        if not wrong.any() and least is not None:
            wrong, rule = numbers < least, f"must be at least {least}"
        elif not wrong.any() and above is not None:
            wrong, rule = numbers <= above, f"must be above {above}"
        if wrong.any():
            self.problems.append(f"{name}: {rule}; got {values[wrong][0]}")
            return [default] * self._rows
        result: list[float] = numbers.tolist()
        return result

    def flag(self, name: str) -> bool:
        values = self._values(name, "b", default=False)
        return values is not None and bool(values[0])

    def words(self, name: str, vocab_size: int) -> list[tuple[Word, ...]]:
        """Return each row's words."""
        value = getattr(self._request, name)
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
        tokens = self._request.input_ids[row, :length]
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
        value = getattr(self._request, name)
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
