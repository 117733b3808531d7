"""Takes over the requests that Triton hands on, and answers each on its own when it is computed."""

import logging
import math
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Sized
from enum import StrEnum
from functools import partial
from typing import Protocol

from ft_serving.core.protocol import TensorType
from ft_serving.server.arrays import AnyArray
from ft_serving.server.backend.errors import DeliveryError
from ft_serving.server.backend.tensors import to_tensors
from ft_serving.server.engine import Engine
from ft_serving.server.engine.job import Job
from ft_serving.server.errors import MemoryLimitError, RequestError
from ft_serving.server.requests import GenerationRequest

# To ask Triton takes some 30 microseconds a request, a tenth of a small model's token, and on busy
# cores a thousand times as long: it may take this share of the time for all requests together.
CANCELLATION_POLL_SECONDS = 0.05
CANCELLATION_POLL_SHARE = 0.1

_FAULT = "internal error; the server's log has the cause"

_logger = logging.getLogger(__name__)


class Refusal(StrEnum):
    """Why a request gets an error; the value is Triton's name of the code."""

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
        """Send output tensors.

        Raises:
            DeliveryError: Triton did not take them.
        """
        ...

    def refuse(self, refusal: Refusal, message: str) -> None:
        """Send an error, the last response.

        Raises:
            DeliveryError: Triton did not take it.
        """
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
    """A call, and how far its answer has come.

    Attributes:
        job: What the engine computes for it.
        is_answered: Whether it has its last response.
        begun: When it was taken over.

    Args:
        call: The call.
        crowd: Calls whose cancellation is asked for in turns.
    """

    job: Job

    def __init__(self, call: Call, crowd: Sized) -> None:
        self.is_answered = False
        self.begun = time.monotonic()
        self._call = call
        self._crowd = crowd
        self._failure: DeliveryError | None = None
        self._is_cancelled = False
        self._next_poll = -math.inf

    def tensors(self) -> Mapping[str, AnyArray]:
        return self._call.tensors()

    def is_given_up(self) -> bool:
        """Tell whether nobody waits for the answer, or it can no longer be delivered."""
        begin = time.monotonic()
        if begin >= self._next_poll:
            self._is_cancelled = self._call.is_cancelled()
            end = time.monotonic()
            fair = (end - begin) * len(self._crowd) / CANCELLATION_POLL_SHARE
            self._next_poll = end + max(CANCELLATION_POLL_SECONDS, fair)
        return self._is_cancelled or self._failure is not None

    def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
        try:
            self._call.respond(tensors, is_last=is_last)
        except DeliveryError as exc:
            self._failure = exc
        else:
            self.is_answered = is_last

    def refuse(self, refusal: Refusal, message: str) -> None:
        try:
            self._call.refuse(refusal, message)
        except DeliveryError:
            _logger.exception("A request has no answer")
        self.is_answered = True

    def close(self) -> None:
        """Send what Triton needs to let go of a request that was not computed to its end."""
        if self.is_answered:
            return
        if self._failure:
            self.refuse(Refusal.INTERNAL, str(self._failure))
        elif self._is_cancelled:
            self.refuse(Refusal.CANCELLED, "cancelled")
        else:
            self.refuse(Refusal.INTERNAL, _FAULT)


class Runner:
    """Answers calls with one engine, in a thread of its own: others may come meanwhile.

    Args:
        engine: Generates the texts.
        streaming: Whether to answer with the tensors so far after each token, or once.
        output_types: The data type of each output.
        meter: Counts the calls.
        room: Bytes of an answer at most. One that Triton has no room for could not even be refused
            any more.
    """

    def __init__(
        self,
        engine: Engine,
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
        # None ends the thread.
        self._inbox: queue.SimpleQueue[list[_Task] | None] = queue.SimpleQueue()
        self._schedule = engine.schedule()
        self._tasks: dict[Job, _Task] = {}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, calls: Sequence[Call]) -> None:
        """Take calls over; each gets its last response when it is computed.

        One that cannot be done gets an error at once, and the others go on without it. What is not
        foreseen is logged, and the calls concerned get an error.
        """
        self._meter.begin(len(calls))
        tasks = [_Task(call, self._tasks) for call in calls]
        self._inbox.put(list(self._accepted(tasks)))

    def close(self) -> None:
        """End the thread, after a token that it computes; Triton waits for answers before."""
        self._inbox.put(None)
        self._thread.join()

    def _accepted(self, tasks: Sequence[_Task]) -> Iterator[_Task]:
        for task in tasks:
            try:
                plan = self._engine.plan(GenerationRequest(**task.tensors()))
                self._check_room(plan.result_bytes)
            except (RequestError, MemoryLimitError, MemoryError) as exc:
                task.refuse(Refusal.INVALID, str(exc) or "there is no memory to read it")
            except Exception:
                _logger.exception("A request cannot be read")
                task.refuse(Refusal.INTERNAL, _FAULT)
            else:
                task.job = Job(plan, partial(self._respond, task), task.is_given_up)
                yield task
                continue
            self._end(task)

    def _check_room(self, size: int) -> None:
        if size > self._room:
            raise MemoryLimitError(
                f"the answer takes {size / 2**20:.1f} MiB, there are {self._room / 2**20:.1f} for "
                "one in shared memory; ask for fewer rows"
            )

    def _respond(self, task: _Task, job: Job) -> None:
        if self._streaming or job.is_finished:
            tensors = to_tensors(job.result(), self._output_types)
            task.respond(tensors, is_last=job.is_finished)

    def _run(self) -> None:
        while self._receive():
            self._turn()

    def _turn(self) -> None:
        # Not in the loop above: a variable that goes on to hold a request that was answered keeps
        # Triton from unloading the model.
        try:
            for job in self._schedule.turn():
                self._end(self._tasks.pop(job))
        except Exception:
            _logger.exception("%d requests failed", len(self._tasks))
            self._schedule = self._engine.schedule()
            while self._tasks:
                self._end(self._tasks.popitem()[1])

    def _receive(self) -> bool:
        """Take what has come; wait where there is nothing else to do. Return whether to go on."""
        while not self._inbox.empty() or self._schedule.is_idle:
            tasks = self._inbox.get()
            if tasks is None:
                return False
            self._tasks.update((task.job, task) for task in tasks)
            self._schedule.add([task.job for task in tasks])
        return True

    def _end(self, task: _Task) -> None:
        task.close()
        self._meter.end(time.monotonic() - task.begun)
