"""Generates text for requests, in the caller's thread or in one of its own."""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ft_serving.core.families.architecture import Architecture
from ft_serving.core.lengths import LengthLimits
from ft_serving.server.engine.model import LogitsModel
from ft_serving.server.engine.schedule import Schedule, load_of
from ft_serving.server.errors import MemoryLimitError
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.plan import RequestPlan, Vocabulary, plan_request
from ft_serving.server.requests.request import GenerationRequest, GenerationResult

_logger = logging.getLogger(__name__)

NO_LIMITS = LengthLimits()


class TextGenerator:
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
        limits: How long prompts and answers may be.
    """

    def __init__(self, model: LogitsModel[Any], limits: LengthLimits = NO_LIMITS) -> None:
        self._model = model
        self._limits = limits
        self._vocabulary = Vocabulary(
            size=model.architecture.vocabulary,
            start_id=model.architecture.start_id,
            end_id=model.architecture.end_id,
        )

    @property
    def architecture(self) -> Architecture:
        """The model's numbers."""
        return self._model.architecture

    def plan(self, request: GenerationRequest) -> RequestPlan:
        """Check whether a request can be done on its own; see `ServingEngine.plan`."""
        plan = plan_request(request, self._vocabulary, self._limits)
        load = load_of([plan])
        needed, free = self._model.needed_bytes(load), self._model.free_bytes()
        if needed > free:
            longest = max(len(row.prompt) + row.parameters["output_length"] for row in plan.rows)
            raise MemoryLimitError(
                f"{load.rows} rows of {longest} tokens need {needed / 2**30:.1f} GiB, "
                f"there are {free / 2**30:.1f} beside the model; ask for fewer rows or a smaller "
                "request_output_len"
            )
        return plan

    def schedule(self) -> Schedule:
        """Return an empty schedule of requests to compute."""
        return Schedule(self._model)

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        on_step: Callable[[int, GenerationResult], None] | None = None,
        cancelled: Callable[[int], bool] = lambda _: False,
    ) -> list[GenerationResult]:
        """Generate the texts of all requests, in the caller's thread.

        Args:
            requests: Each with one row or more.
            on_step: Is called with the index of an unfinished request and its tensors as they are,
                after each of its steps: n times for n generated tokens of its longest row. An
                exception that it raises ends all requests.
            cancelled: Is asked before each step for each unfinished request, by its index, and on
                the way through its prompt; one that is cancelled is computed no further.

        Returns:
            A result for each request; that of a cancelled one is not final.

        Raises:
            RequestError: A request cannot be done; `plan` tells which.
            MemoryLimitError: A request needs more memory than there is.
        """

        def tell(index: int, job: GenerationJob) -> None:
            if on_step is not None:
                on_step(index, job.result())

        jobs = [
            GenerationJob(self.plan(request), partial(tell, index), partial(cancelled, index))
            for index, request in enumerate(requests)
        ]
        schedule = self.schedule()
        schedule.add(jobs)
        while not schedule.is_idle:
            schedule.turn()
        return [job.result() for job in jobs]


class EngineThread:
    """Implements `ft_serving.server.requests.job.ServingEngine` with the CPU's engine."""

    def __init__(self, engine: TextGenerator) -> None:
        self._engine = engine
        # None ends the thread.
        self._inbox: queue.SimpleQueue[Sequence[GenerationJob] | None] = queue.SimpleQueue()
        self._schedule = engine.schedule()
        self._jobs: set[GenerationJob] = set()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def plan(self, request: GenerationRequest) -> RequestPlan:
        """Check a request; see `ServingEngine.plan`."""
        return self._engine.plan(request)

    def submit(self, jobs: Sequence[GenerationJob]) -> None:
        """Compute jobs; see `ServingEngine.submit`."""
        self._inbox.put(jobs)

    def close(self) -> None:
        """End the thread, after a token that it computes."""
        self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._receive():
            self._turn()

    def _turn(self) -> None:
        # Not in the loop above: a variable that goes on to hold a request that was answered keeps
        # Triton from unloading the model.
        try:
            for job in self._schedule.turn():
                self._jobs.remove(job)
                job.end()
        except Exception:
            _logger.exception("%d requests failed", len(self._jobs))
            self._schedule = self._engine.schedule()
            while self._jobs:
                self._jobs.pop().end()

    def _receive(self) -> bool:
        """Take what has come; wait where there is nothing else to do. Return whether to go on."""
        while not self._inbox.empty() or self._schedule.is_idle:
            jobs = self._inbox.get()
            if jobs is None:
                return False
            self._jobs.update(jobs)
            self._schedule.add(jobs)
        return True
