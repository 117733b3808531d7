"""Takes over the requests that Triton hands on, and answers each on its own when it is computed."""

import logging
import math
import time
from collections.abc import Mapping, Sequence, Sized
from enum import StrEnum
from functools import partial
from typing import Protocol

from ft_serving.core.arrays import AnyArray
from ft_serving.core.protocol import TensorType
from ft_serving.server.errors import DeliveryError, RequestError
from ft_serving.server.requests.job import GenerationJob, ServingEngine
from ft_serving.server.requests.request import to_tensors

# To ask Triton about one request takes some 30 microseconds, a tenth of a small model's token, and
# on busy cores a thousand times as long. All requests together may take this share of the time.
CANCELLATION_POLL_SECONDS = 0.05
CANCELLATION_POLL_SHARE = 0.1

_FAULT = "internal error; the server's log has the cause"

_logger = logging.getLogger(__name__)


class RefusalCode(StrEnum):
    """The reason why a request gets an error; the value is Triton's name of the code."""

    INVALID = "INVALID_ARG"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


class Call(Protocol):
    """A request in Triton's hands, and the way back to its client."""

    def tensors(self) -> Mapping[str, AnyArray]:
        """Return the input tensors by name, once; they are valid until Triton has control again."""
        ...

    def is_cancelled(self) -> bool:
        """Tell whether the client no longer waits."""
        ...

    def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
        """Send output tensors, or raise `DeliveryError`."""
        ...

    def refuse(self, refusal: RefusalCode, message: str) -> None:
        """Send an error, the last response, or raise `DeliveryError`."""
        ...


class Meter(Protocol):
    """Counts requests."""

    def begin(self, count: int) -> None:
        """Count requests that are taken over."""
        ...

    def end(self, seconds: float) -> None:
        """Count a request that has its last response, after so many seconds."""
        ...


class _Task:
    """A call until it has its last response.

    Args:
        call: The call.
        crowd: Calls whose cancellation is asked for in turns.
    """

    def __init__(self, call: Call, crowd: Sized) -> None:
        self.call = call
        self.begun = time.monotonic()
        self._crowd = crowd
        self._is_answered = False
        self._failure: DeliveryError | None = None
        self._is_cancelled = False
        self._next_poll = -math.inf

    def is_given_up(self) -> bool:
        """Tell whether nobody waits for the answer, or it can no longer be delivered."""
        begin = time.monotonic()
        if begin >= self._next_poll:
            self._is_cancelled = self.call.is_cancelled()
            end = time.monotonic()
            fair = (end - begin) * len(self._crowd) / CANCELLATION_POLL_SHARE
            self._next_poll = end + max(CANCELLATION_POLL_SECONDS, fair)
        return self._is_cancelled or self._failure is not None

    def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
        try:
            self.call.respond(tensors, is_last=is_last)
        except DeliveryError as exc:
            self._failure = exc
        else:
            self._is_answered = is_last

    def refuse(self, refusal: RefusalCode, message: str) -> None:
        try:
            self.call.refuse(refusal, message)
        except DeliveryError:
            _logger.exception("A request has no answer")
        self._is_answered = True

    def close(self) -> None:
        """Send what Triton needs to let go of a request that was not computed to its end."""
        if self._is_answered:
            return
        if self._failure:
            self.refuse(RefusalCode.INTERNAL, str(self._failure))
        elif self._is_cancelled:
            self.refuse(RefusalCode.CANCELLED, "cancelled")
        else:
            self.refuse(RefusalCode.INTERNAL, _FAULT)


class Runner:
    """Answers calls with one engine.

    Args:
        engine: Generates the texts.
        streaming: Whether to answer with the tensors so far after each step, or once.
        output_types: The data type of each output.
        meter: Counts the calls.
        room: Bytes of an answer at most. One that Triton has no room for could not even be refused
            any more.
    """

    def __init__(
        self,
        engine: ServingEngine,
        *,
        streaming: bool,
        output_types: Mapping[str, TensorType],
        meter: Meter,
        room: int,
    ) -> None:
        self._engine = engine
        self._streaming = streaming
        self._output_types = output_types
        self._meter = meter
        self._room = room
        self._tasks: set[_Task] = set()

    def submit(self, calls: Sequence[Call]) -> None:
        """Take calls over; each gets its last response when it is computed.

        One that cannot be done gets an error at once, and the others go on without it. A defect is
        logged, and the calls concerned get an error.
        """
        self._meter.begin(len(calls))
        jobs = [job for call in calls if (job := self._job(_Task(call, self._tasks)))]
        if jobs:
            self._engine.submit(jobs)

    def close(self) -> None:
        """Stop the engine; Triton waits for answers before."""
        self._engine.close()

    def _job(self, task: _Task) -> GenerationJob | None:
        """Return the engine's job for a call; None for one that got an error."""
        self._tasks.add(task)
        try:
            plan = self._engine.plan(task.call.tensors())
            self._check_room(plan.result_bytes)
        except (RequestError, MemoryError) as exc:
            task.refuse(RefusalCode.INVALID, str(exc) or "there is no memory to read it")
        except Exception:
            _logger.exception("A request cannot be read")
            task.refuse(RefusalCode.INTERNAL, _FAULT)
        else:
            respond, end = partial(self._respond, task), partial(self._end, task)
            return GenerationJob(plan, respond, task.is_given_up, end)
        self._end(task)
        return None

    def _check_room(self, size: int) -> None:
        if size > self._room:
            raise RequestError(
                f"the answer takes {size / 2**20:.1f} MiB, there are {self._room / 2**20:.1f} for "
                "one in shared memory; ask for fewer rows"
            )

    def _respond(self, task: _Task, job: GenerationJob) -> None:
        if self._streaming or job.is_finished:
            tensors = to_tensors(job.result(), self._output_types)
            task.respond(tensors, is_last=job.is_finished)

    def _end(self, task: _Task) -> None:
        task.close()
        self._tasks.discard(task)
        self._meter.end(time.monotonic() - task.begun)
