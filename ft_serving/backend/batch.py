"""Runs the requests that Triton hands over together, and answers each on its own."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from ft_serving.backend.errors import DeliveryError
from ft_serving.backend.tensors import to_request, to_tensors
from ft_serving.engine import (
    Engine,
    GenerationRequest,
    GenerationResult,
    MemoryLimitError,
    RequestError,
)
from ft_serving.engine.request import AnyArray
from ft_serving.protocol import TensorType

# To ask Triton takes some 30 microseconds a request, a tenth of a small model's token.
CANCELLATION_POLL_SECONDS = 0.05

_logger = logging.getLogger(__name__)


class Refusal(StrEnum):
    """Why a request gets an error; the value is Triton's name of the code."""

    INVALID = "INVALID_ARG"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


class Call(Protocol):
    """A request in Triton's hands, and the way back to its client."""

    def tensors(self) -> Mapping[str, AnyArray]:
        """Return the input tensors by name."""
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


class _Task:
    """A call, and how far its answer has come.

    Attributes:
        is_answered: Whether it has its last response.
        failure: Why Triton did not take a response, if it did not.
    """

    def __init__(self, call: Call) -> None:
        self.is_answered = False
        self.failure: DeliveryError | None = None
        self._call = call
        self._is_cancelled = False
        self._polled = -math.inf

    def request(self) -> GenerationRequest:
        return to_request(self._call.tensors())

    def is_given_up(self) -> bool:
        """Tell whether nobody waits for the answer, or it can no longer be delivered."""
        now = time.monotonic()
        if now - self._polled >= CANCELLATION_POLL_SECONDS:
            self._polled = now
            self._is_cancelled = self._call.is_cancelled()
        return self._is_cancelled or self.failure is not None

    def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
        try:
            self._call.respond(tensors, is_last=is_last)
        except DeliveryError as exc:
            self.failure = exc
        else:
            self.is_answered = is_last

    def refuse(self, refusal: Refusal, message: str) -> None:
        try:
            self._call.refuse(refusal, message)
        except DeliveryError as exc:
            self.failure = self.failure or exc
        else:
            self.is_answered = True

    def close(self) -> None:
        """Send what Triton needs to let go of a request that was not computed to its end."""
        if self.is_answered:
            return
        if self.failure:
            self.refuse(Refusal.INTERNAL, str(self.failure))
        elif self._is_cancelled:
            self.refuse(Refusal.CANCELLED, "cancelled")
        else:
            self.refuse(Refusal.INTERNAL, "internal error; the server's log has the cause")


class BatchRunner:
    """Answers batches of calls with one engine.

    Args:
        engine: Generates the texts.
        streaming: Whether to answer with the tensors so far after each token, or once.
        output_types: The data type of each output.
    """

    def __init__(
        self, engine: Engine, *, streaming: bool, output_types: Mapping[str, TensorType]
    ) -> None:
        self._engine = engine
        self._streaming = streaming
        self._output_types = output_types

    def run(self, calls: Sequence[Call]) -> None:
        """Compute calls as one batch; each gets its last response before this returns.

        A call that cannot be done gets an error, and the others go on without it. What is not
        foreseen is logged, and the calls concerned get an error.

        Raises:
            DeliveryError: Triton took neither an answer nor an error for some calls, and has to
                end them by itself.
        """
        tasks = [_Task(call) for call in calls]
        try:
            self._generate(list(self._accepted(tasks)))
        except Exception:
            _logger.exception("A batch of %d requests failed", len(calls))
        for task in tasks:
            task.close()
        for task in tasks:
            if task.failure and not task.is_answered:
                raise task.failure

    def _accepted(self, tasks: Sequence[_Task]) -> Iterator[tuple[_Task, GenerationRequest]]:
        for task in tasks:
            try:
                request = task.request()
                self._engine.validate(request)
            except (RequestError, MemoryLimitError, MemoryError) as exc:
                task.refuse(Refusal.INVALID, str(exc))
            else:
                yield task, request

    def _generate(self, accepted: Sequence[tuple[_Task, GenerationRequest]]) -> None:
        tasks = [task for task, _ in accepted]

        def on_step(index: int, result: GenerationResult) -> None:
            if self._streaming or result.is_final:
                tensors = to_tensors(result, self._output_types)
                tasks[index].respond(tensors, is_last=result.is_final)

        try:
            self._engine.generate(
                [request for _, request in accepted],
                on_step,
                lambda index: tasks[index].is_given_up(),
            )
        except MemoryLimitError:
            # Each fits alone, and nothing has been computed yet.
            if len(accepted) == 1:
                raise
            middle = len(accepted) // 2
            self._generate(accepted[:middle])
            self._generate(accepted[middle:])
