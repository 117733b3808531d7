"""A request on its way from a plan to a result."""

from collections.abc import Callable

import numpy as np

from ft_serving.server.arrays import FloatArray, TokenArray
from ft_serving.server.engine.beam import BeamRow
from ft_serving.server.engine.rows import Row, SampledRow
from ft_serving.server.requests.plan import RequestPlan
from ft_serving.server.requests.request import GenerationResult


class Job:
    """A request, its rows and the tensors that they fill.

    Args:
        plan: What it asks for.
        on_step: Is called with this job after each step.
        cancelled: Tells whether the request is no longer wanted; once it is not, it stays so.

    Attributes:
        plan: What it asks for.
        rows: Its rows, once it has begun.
        is_cancelled: Whether `cancelled` has said so.
    """

    def __init__(
        self,
        plan: RequestPlan,
        on_step: Callable[["Job"], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.plan = plan
        self.is_cancelled = False
        self.rows: list[Row] = []
        self._on_step = on_step
        self._cancelled = cancelled

    def begin(self) -> None:
        """Make the tensors: not before, because many requests may wait."""
        if self.rows:
            return
        plan = self.plan
        rows, width = len(plan.rows), plan.beam_width
        most = plan.longest_output
        # A text without prompt starts from a token that the result leaves out.
        self._hidden = 0 if plan.prompt_length else 1
        length = self._hidden + plan.prompt_length + most
        self._texts: TokenArray = np.empty((rows, width, length), np.uint32)
        self._log_probs: FloatArray | None = None
        if plan.wants_log_probs:
            self._log_probs = np.zeros((rows, width, most), np.float32)
        for place, row in enumerate(plan.rows):
            text = self._texts[place]
            text[:] = row.parameters["end_id"]
            text[:, : len(row.prompt)] = row.prompt
            log_probs = None if self._log_probs is None else self._log_probs[place]
            self.rows.append((BeamRow if width > 1 else SampledRow)(row, text, log_probs))

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
        self.begin()
        lengths = np.array([row.lengths for row in self.rows], np.uint32)
        sums: FloatArray | None = None
        if self._log_probs is not None:
            sums = np.array([row.log_probs for row in self.rows], np.float32)
        return GenerationResult(
            output_ids=self._texts[:, :, self._hidden :].copy(),
            sequence_length=lengths + np.uint32(self.plan.prompt_length),
            cum_log_probs=sums,
            output_log_probs=None if self._log_probs is None else self._log_probs.copy(),
            is_final=self.is_finished,
        )
