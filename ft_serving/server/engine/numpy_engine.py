"""The engine for CPUs: checks requests, and computes them in a thread of its own."""

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from ft_serving.core.arrays import FloatArray
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.gptj import GPTJ
from ft_serving.core.families.gptneox import GPTNEOX
from ft_serving.core.lengths import LengthLimits
from ft_serving.server.engine.config import read_config
from ft_serving.server.engine.gptj import GptJLayers
from ft_serving.server.engine.gptneox import GptNeoXLayers
from ft_serving.server.engine.numpy_model import NumpyModel
from ft_serving.server.engine.numpy_ops import NumpyLayers
from ft_serving.server.engine.schedule import Schedule, load_of
from ft_serving.server.engine.weight_files import read_weights
from ft_serving.server.errors import RequestError
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.plan import RequestPlan, Vocabulary, plan_request
from ft_serving.server.requests.request import GenerationRequest

LAYERS: Mapping[str, Callable[[Architecture, dict[str, FloatArray]], NumpyLayers]] = {
    GPTJ.model_type: GptJLayers,
    GPTNEOX.model_type: GptNeoXLayers,
}
"""The layers of each family, by its name in config.json."""

NO_LIMITS = LengthLimits()

_logger = logging.getLogger(__name__)


class NumpyEngine:
    """Checks requests to a model, and makes the schedules that compute them.

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

    Attributes:
        architecture: The model's numbers.
    """

    def __init__(self, model: NumpyModel, limits: LengthLimits = NO_LIMITS) -> None:
        self.architecture = model.architecture
        self._model = model
        self._limits = limits
        self._vocabulary = Vocabulary(
            size=model.architecture.vocabulary,
            start_id=model.architecture.start_id,
            end_id=model.architecture.end_id,
        )

    @classmethod
    def open(cls, folder: Path, tensor_parallel: int, limits: LengthLimits = NO_LIMITS) -> Self:
        """Open a folder of FasterTransformer's weights.

        Args:
            folder: Directly contains config.ini and the *.bin files.
            tensor_parallel: The size that the weights were converted for; config.pbtxt names it
                `tensor_para_size`.
            limits: How long prompts and answers may be.

        Raises:
            ServerError: Files are missing, damaged or of another model.
        """
        config = read_config(folder, limits.context_length)
        weights = read_weights(folder, config, tensor_parallel)
        layers = LAYERS[config.family.model_type](config.architecture, weights)
        return cls(NumpyModel(config.family, layers), limits)

    def plan(self, request: GenerationRequest) -> RequestPlan:
        """Check whether a request can be done on its own; see `ServingEngine.plan`."""
        plan = plan_request(request, self._vocabulary, self._limits)
        load = load_of([plan])
        needed, free = self._model.needed_bytes(load), self._model.free_bytes()
        if needed > free:
            longest = max(len(row.prompt) + row.parameters["output_length"] for row in plan.rows)
            raise RequestError(
                f"{load.rows} rows of {longest} tokens need {needed / 2**30:.1f} GiB, "
                f"there are {free / 2**30:.1f} beside the model; ask for fewer rows or a smaller "
                "request_output_len"
            )
        return plan

    def schedule(self) -> Schedule:
        """Return an empty schedule of requests to compute."""
        return Schedule(self._model)


class EngineThread:
    """Implements `ft_serving.server.requests.job.ServingEngine` with the CPU's engine."""

    def __init__(self, engine: NumpyEngine) -> None:
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
