"""The generation loop: requests in, tokens out, whatever computes the model."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from ft_serving.engine.arrays import FloatArray, TokenArray
from ft_serving.engine.beam import BeamRow
from ft_serving.engine.config import GptJConfig
from ft_serving.engine.model import Batch, Model
from ft_serving.engine.plan import RequestPlan, plan_request
from ft_serving.engine.request import GenerationRequest, GenerationResult
from ft_serving.engine.rows import Row, SampledRow

OnStep = Callable[[int, GenerationResult], None]
"""Is told of a request's index and its text so far."""

IsCancelled = Callable[[int], bool]
"""Tells whether the request of this index is no longer wanted."""


class _Job:
    """A request, its rows and the tensors that they fill."""

    def __init__(self, index: int, plan: RequestPlan) -> None:
        self.index = index
        self._plan = plan
        rows, width = len(plan.rows), plan.beam_width
        most = max(row.output_len for row in plan.rows)
        # A text without prompt starts from a token that the result leaves out.
        self._hidden = 0 if plan.prompt_length else 1
        length = self._hidden + plan.prompt_length + most
        self._texts: TokenArray = np.empty((rows, width, length), np.uint32)
        self._log_probs: FloatArray | None = None
        if plan.wants_log_probs:
            self._log_probs = np.zeros((rows, width, most), np.float32)
        self.rows: list[Row] = []
        for place, row in enumerate(plan.rows):
            text = self._texts[place]
            text[:] = row.end_id
            text[:, : len(row.prompt)] = row.prompt
            log_probs = None if self._log_probs is None else self._log_probs[place]
            self.rows.append((BeamRow if width > 1 else SampledRow)(row, text, log_probs))

    @property
    def is_finished(self) -> bool:
        return all(row.finished for row in self.rows)

    def result(self) -> GenerationResult:
        """Return copies of the tensors as they are."""
        lengths = np.array([row.lengths for row in self.rows], np.uint32)
        sums: FloatArray | None = None
        if self._log_probs is not None:
            sums = np.array([row.log_probs for row in self.rows], np.float32)
        return GenerationResult(
            output_ids=self._texts[:, :, self._hidden :].copy(),
            sequence_length=lengths + np.uint32(self._plan.prompt_length),
            cum_log_probs=sums,
            output_log_probs=None if self._log_probs is None else self._log_probs.copy(),
            is_final=self.is_finished,
        )


class Engine:
    """Generates text with a model.

    A request's text does not depend on the requests that it is computed with. Where
    FasterTransformer deviates from what a request asks for, this engine does what was asked:

    - A row generates at most its own `request_output_len`; FasterTransformer gives one token more
      where another row of the batch has a larger one.
    - Parameters hold for their own request; FasterTransformer takes beam width, log probabilities
      and other tensors of a merged batch from its first request.
    - Stop words, bad words and penalties see the prompt without its padding.

    Args:
        model: Computes the logits.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def config(self) -> GptJConfig:
        """The model's numbers."""
        return self._model.config

    def validate(self, request: GenerationRequest) -> None:
        """Check whether a request can be done on its own.

        Raises:
            RequestError: It cannot; all that is wrong is named.
            MemoryLimitError: It needs more memory than there is.
        """
        self._new_batch([plan_request(request, self.config)])

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        on_step: OnStep | None = None,
        cancelled: IsCancelled | None = None,
    ) -> list[GenerationResult]:
        """Generate the texts of all requests, as one batch.

        Args:
            requests: Each with one row or more.
            on_step: Is called for each unfinished request after each step, with all of its tensors
                as they are, and with the final ones after its last step: n times for n generated
                tokens of its longest row. An exception that it raises ends the whole batch.
            cancelled: Is asked before each step for each unfinished request, and in the first
                step, which takes longer, on the way; one that is cancelled is computed no further.

        Returns:
            A result for each request; that of a cancelled one is not final.

        Raises:
            RequestError: A request cannot be done; `validate` tells which.
            MemoryLimitError: The requests together need more memory than there is.
        """
        plans = [plan_request(request, self.config) for request in requests]
        batch = self._new_batch(plans)
        jobs = [_Job(index, plan) for index, plan in enumerate(plans)]
        _run(batch, jobs, on_step, cancelled or (lambda _: False))
        return [job.result() for job in jobs]

    def _new_batch(self, plans: Sequence[RequestPlan]) -> Batch:
        rows = [row for plan in plans for row in plan.rows for _ in range(plan.beam_width)]
        capacity = max((len(row.prompt) + row.output_len for row in rows), default=0)
        longest = max((len(row.prompt) for row in rows), default=0)
        return self._model.new_batch(len(rows), capacity, longest)


def _run(
    batch: Batch, jobs: Sequence[_Job], on_step: OnStep | None, cancelled: IsCancelled
) -> None:
    """Advance all rows until they have finished or their requests are cancelled."""
    running = _still_running(jobs, cancelled)
    if not running:
        return
    running, rows, logits = _start(batch, running, cancelled)
    starts = list(range(len(rows) + 1))
    while rows:
        for row, (start, stop) in zip(rows, itertools.pairwise(starts), strict=True):
            row.advance(logits[start:stop])
        if on_step is not None:
            for job in running:
                on_step(job.index, job.result())
        running = _still_running(running, cancelled)
        going_on = {row for job in running for row in job.rows if not row.finished}
        if not going_on:
            return
        sources = [
            start + parent
            for row, start in zip(rows, starts[:-1], strict=True)
            if row in going_on
            for parent in row.parents
        ]
        if sources != list(range(starts[-1])):
            batch.select(np.array(sources))
        rows = [row for row in rows if row in going_on]
        starts = [0, *itertools.accumulate(len(row.tokens) for row in rows)]
        logits = batch.step(np.array([token for row in rows for token in row.tokens], np.uint32))


def _start(
    batch: Batch, jobs: Sequence[_Job], cancelled: IsCancelled
) -> tuple[list[_Job], list[Row], FloatArray]:
    """Compute the prompts; return the jobs that are still wanted, their rows and these' logits."""
    # A batch computes neighbours of the same length together.
    rows = sorted(
        ((row, job) for job in jobs for row in job.rows), key=lambda pair: len(pair[0].prompt)
    )
    unwanted: set[_Job] = set()

    def is_wanted(place: int) -> bool:
        job = rows[place][1]
        if job not in unwanted and cancelled(job.index):
            unwanted.add(job)
        return job not in unwanted

    logits = batch.prefill([row.prompt for row, _ in rows], is_wanted)
    if unwanted:
        places = [place for place, (_, job) in enumerate(rows) if job not in unwanted]
        rows = [rows[place] for place in places]
        logits = logits[places]
        batch.select(np.array(places, np.intp))
    return [job for job in jobs if job not in unwanted], [row for row, _ in rows], logits


def _still_running(jobs: Sequence[_Job], cancelled: IsCancelled) -> list[_Job]:
    return [job for job in jobs if not (job.is_finished or cancelled(job.index))]
