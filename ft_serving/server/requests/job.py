"""A request on its way from a plan to a result, its rows, and the interface of engines."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from ft_serving.core.arrays import FloatArray, TokenArray
from ft_serving.server.requests.plan import RequestPlan, RowPlan
from ft_serving.server.requests.request import GenerationRequest, GenerationResult
from ft_serving.server.requests.words import StopWords


class Row(Protocol):
    """One row of a request while its text grows.

    Attributes:
        lengths: Generated tokens of each of its beams.
        log_probs: Sum of log probabilities of each beam, if wanted.
        finished: Whether the row is done.
    """

    lengths: list[int]
    log_probs: list[float]
    finished: bool


RowT = TypeVar("RowT", bound=Row)


class TextRow:
    """Implements `Row` for one text that grows token by token.

    Args:
        plan: The row's parameters.
        texts: [1, prompt and output length], begins with the prompt; grows in place.
        token_log_probs: [1, output length], filled in place; None if not wanted.
    """

    def __init__(
        self, plan: RowPlan, texts: TokenArray, token_log_probs: FloatArray | None
    ) -> None:
        self.plan = plan
        self.lengths = [0]
        self.log_probs = [0.0]
        self.finished = False
        self._text = texts[0]
        self._length = len(plan.prompt)
        self._token_log_probs = None if token_log_probs is None else token_log_probs[0]
        self._end_id = plan.parameters["end_id"]
        self._longest = self._length + plan.parameters["output_length"]
        self._stop_words = StopWords(plan.stop_words) if plan.stop_words else None

    def append(self, token: int, log_prob: float = 0.0, output_log_prob: float = 0.0) -> None:
        """Append a token; its log probabilities count only where the request wants them."""
        if self._token_log_probs is not None:
            self.log_probs[0] += log_prob
            self._token_log_probs[self.lengths[0]] = output_log_prob
        self._text[self._length] = token
        self._length += 1
        self.lengths[0] += 1
        self.finished = (
            token == self._end_id
            or self._length == self._longest
            or (self._stop_words is not None and self._stop_words.end(self._text[: self._length]))
        )


class GenerationJob:
    """A request, its rows and the tensors that they fill.

    Args:
        plan: The checked request.
        on_step: Is called with this job after each step.
        cancelled: Tells whether the request is no longer wanted; once it is not, it stays so.
        on_end: Is called once, when the engine computes it no further, whether it is finished,
            cancelled or has failed.

    Attributes:
        plan: The checked request.
        rows: Its rows, once it has begun.
        is_cancelled: Whether `cancelled` has said so.
    """

    def __init__(
        self,
        plan: RequestPlan,
        on_step: Callable[["GenerationJob"], None],
        cancelled: Callable[[], bool],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self.is_cancelled = False
        self.rows: Sequence[Row] = ()
        self.end = on_end
        self._on_step = on_step
        self._cancelled = cancelled
        # A text without prompt starts from a token that the result leaves out.
        self._hidden = 0 if plan.prompt_length else 1
        self._texts: TokenArray | None = None
        self._log_probs: FloatArray | None = None

    def begin(
        self, new_row: Callable[[RowPlan, TokenArray, FloatArray | None], RowT]
    ) -> list[RowT]:
        """Make the tensors and rows: not before, because many requests may wait.

        Args:
            new_row: Makes a row from its parameters, its texts [beams, prompt and output length],
                which begin with the prompt and grow in place, and its tokens' log probabilities
                [beams, output length], to be filled in place; None if they are not wanted.

        Returns:
            The rows, in the order of the plan.
        """
        texts = self._make_tensors()
        rows = [
            new_row(row, texts[place], None if self._log_probs is None else self._log_probs[place])
            for place, row in enumerate(self.plan.rows)
        ]
        self.rows = rows
        return rows

    @property
    def is_finished(self) -> bool:
        """True once its text is complete."""
        # A loop: this is asked several times a token, and a generator would take thrice as long.
        for row in self.rows:
            if not row.finished:
                return False
        return bool(self.rows)

    def is_wanted(self) -> bool:
        """Ask whether there is more to compute, and for somebody."""
        if not (self.is_cancelled or self.is_finished):
            self.is_cancelled = self._cancelled()
        return not (self.is_cancelled or self.is_finished)

    def tell(self) -> None:
        """Tell that there are new tokens."""
        self._on_step(self)

    def result(self) -> GenerationResult:
        """Return copies of the tensors as they are."""
        texts, rows = self._make_tensors(), self.rows
        padded = self.plan.prompt_length
        lengths = [[padded + length for length in row.lengths] for row in rows]
        none = len(texts), self.plan.beam_width
        sums: FloatArray | None = None
        if self._log_probs is not None:
            sums = np.array([row.log_probs for row in rows] or np.zeros(none), np.float32)
        return GenerationResult(
            output_ids=texts[:, :, self._hidden :].copy(),
            sequence_length=np.array(lengths or np.full(none, padded), np.uint32),
            cum_log_probs=sums,
            output_log_probs=None if self._log_probs is None else self._log_probs.copy(),
            is_final=self.is_finished,
        )

    def _make_tensors(self) -> TokenArray:
        if self._texts is None:
            plan = self.plan
            shape, most = (len(plan.rows), plan.beam_width), plan.longest_output
            length = self._hidden + plan.prompt_length + most
            self._texts = np.empty((*shape, length), np.uint32)
            for text, row in zip(self._texts, plan.rows, strict=True):
                text[:] = row.parameters["end_id"]
                text[:, : len(row.prompt)] = row.prompt
            if plan.wants_log_probs:
                self._log_probs = np.zeros((*shape, most), np.float32)
        return self._texts


class ServingEngine(Protocol):
    """Computes requests as they come; the CPU's engine and vLLM are each one."""

    def plan(self, request: GenerationRequest) -> RequestPlan:
        """Check whether a request can be done on its own.

        Raises:
            RequestError: It cannot; all that is wrong is named, or the memory that it needs.
        """
        ...

    def submit(self, jobs: Sequence[GenerationJob]) -> None:
        """Compute jobs beside those that are under way, and return at once.

        A thread of the engine tells a job of each step and then ends it. A job that is ended
        while it is neither finished nor cancelled has failed; the engine has logged why.
        """
        ...

    def close(self) -> None:
        """Stop the engine's threads and processes, after a step that they compute."""
        ...
