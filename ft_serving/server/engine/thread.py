"""Computes requests in a thread of its own: others may come meanwhile."""

import logging
import queue
import threading
from collections.abc import Sequence

from ft_serving.server.engine.generate import TextGenerator
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.plan import RequestPlan
from ft_serving.server.requests.request import GenerationRequest

_logger = logging.getLogger(__name__)


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
