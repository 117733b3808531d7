"""A request on its way from a plan to a result, and what an engine is that computes it."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from ft_serving.core.arrays import FloatArray, TokenArray
from ft_serving.server.requests.plan import RequestPlan, RowPlan
from ft_serving.server.requests.request import GenerationRequest, GenerationResult


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


class GenerationJob:
    """A request, its rows and the tensors that they fill.

    Args:
        plan: What it asks for.
        on_step: Is called with this job after each step.
        cancelled: Tells whether the request is no longer wanted; once it is not, it stays so.
        on_end: Is called once, when the engine computes it no further, whether it is finished,
            cancelled or has failed.

    Attributes:
        plan: What it asks for.
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
        self.rows: list[Row] = []
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
        self.rows = list(rows)
        return rows

    @property
    def is_finished(self) -> bool:
        """Whether its text is complete."""
        return bool(self.rows) and all(row.finished for row in self.rows)

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
        texts = self._make_tensors()
        nothing = [[0] * self.plan.beam_width] * len(self.plan.rows)
        lengths = np.array([row.lengths for row in self.rows] or nothing, np.uint32)
        sums: FloatArray | None = None
        if self._log_probs is not None:
            sums = np.array([row.log_probs for row in self.rows] or nothing, np.float32)
        return GenerationResult(
            output_ids=texts[:, :, self._hidden :].copy(),
            sequence_length=lengths + np.uint32(self.plan.prompt_length),
            cum_log_probs=sums,
            output_log_probs=None if self._log_probs is None else self._log_probs.copy(),
            is_final=self.is_finished,
        )

    def _make_tensors(self) -> TokenArray:
        if self._texts is not None:
            return self._texts
        plan = self.plan
        rows, width = len(plan.rows), plan.beam_width
        most = plan.longest_output
        texts: TokenArray = np.empty(
            (rows, width, self._hidden + plan.prompt_length + most), np.uint32
        )
        for text, row in zip(texts, plan.rows, strict=True):
            text[:] = row.parameters["end_id"]
            text[:, : len(row.prompt)] = row.prompt
        if plan.wants_log_probs:
            self._log_probs = np.zeros((rows, width, most), np.float32)
        self._texts = texts
        return texts


class ServingEngine(Protocol):
    """What computes requests as they come; the CPU's engine and vLLM are each one."""

    def plan(self, request: GenerationRequest) -> RequestPlan:
        """Check whether a request can be done on its own, and return what it asks for.

        Raises:
            RequestError: It cannot; all that is wrong is named.
            MemoryLimitError: It needs more memory than there is.
        """
        ...

    def submit(self, jobs: Sequence[GenerationJob]) -> None:
        """Compute jobs beside those that are under way, and return at once.

        A job is told of each step and then ended, by a thread of the engine's. A job that is ended
        while it is neither finished nor cancelled has failed; the engine has logged why.
        """
        ...

    def close(self) -> None:
        """Stop the engine's threads and processes, after a step that they compute."""
        ...
