"""Calls as Triton makes them, and a runner over each of the two engines, both scripted."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

from ft_serving.core.arrays import AnyArray
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.protocol import TensorType
from ft_serving.server.backend import batch
from ft_serving.server.backend.batch import RefusalCode, Runner
from ft_serving.server.engine.numpy_engine import EngineThread, NumpyEngine
from ft_serving.server.errors import DeliveryError
from ft_serving.server.requests.job import ServingEngine
from ft_serving.server.requests.plan import Vocabulary
from ft_serving.server.vllm.engine import VllmEngine
from ft_serving.server.vllm.library import LogProbs
from ft_serving.server.vllm.sampling import Sampling
from tests.server.engine.scripted import END, ScriptedModel, count_up

TYPES = {
    "output_ids": TensorType.UINT32,
    "sequence_length": TensorType.UINT32,
    "cum_log_probs": TensorType.FP32,
    "output_log_probs": TensorType.FP32,
}

ENDLESS = {"end_id": np.array([0], np.uint32)}
"""A token that a text which begins with 1 has only as its tenth."""


@dataclass
class RecordedCall:
    """Implements `Call` for the prompt `prompt`; remembers its responses in order."""

    prompt: list[int]
    output_len: int
    parameters: Mapping[str, AnyArray] = field(default_factory=dict)
    cancelled_after: int | None = None
    losing_response: int | None = None
    accepts_errors: bool = True
    responses: list[tuple[dict[str, Any], bool]] = field(default_factory=list)
    errors: list[tuple[RefusalCode, str]] = field(default_factory=list)
    responded: threading.Event = field(default_factory=threading.Event)

    def tensors(self) -> Mapping[str, AnyArray]:
        return {
            "input_ids": np.array([self.prompt], np.uint32),
            "input_lengths": np.array([len(self.prompt)], np.uint32),
            "request_output_len": np.array([[self.output_len]], np.uint32),
            **self.parameters,
        }

    def is_cancelled(self) -> bool:
        return self.cancelled_after is not None and len(self.responses) >= self.cancelled_after

    def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
        self._check_order()
        if len(self.responses) + 1 == self.losing_response:
            raise DeliveryError("no room in shared memory")
        values = {name: tensor.tolist() for name, tensor in tensors.items()}
        self.responses.append((values, is_last))
        self.responded.set()

    def refuse(self, refusal: RefusalCode, message: str) -> None:
        self._check_order()
        if not self.accepts_errors:
            raise DeliveryError("no room in shared memory")
        self.errors.append((refusal, message))

    @property
    def texts(self) -> list[list[int]]:
        return [tensors["output_ids"][0][0] for tensors, _ in self.responses]

    def _check_order(self) -> None:
        assert not self.errors, "nothing may follow an error"
        assert not any(is_last for _, is_last in self.responses), "nothing may follow the last"


class RecordedMeter:
    """Implements `Meter`; knows when nothing is under way."""

    def __init__(self) -> None:
        self._count = 0
        self._left = threading.Semaphore(0)

    def begin(self, count: int) -> None:
        self._count += count

    def end(self, seconds: float) -> None:
        assert seconds >= 0
        self._left.release()

    def wait(self) -> None:
        """Wait until all that have begun have ended."""
        while self._count:
            assert self._left.acquire(timeout=60)
            self._count -= 1


class ScriptedSource:
    """Implements `TextSource`: counts up from the prompt's last token, as `count_up` does.

    A prompt that ends with 0 is followed by 1 for ever.

    Attributes:
        cancelled: The requests that were cancelled.
        failing_prompt: Last token of the prompts that fail.
        has_ended: Whether a text has.
    """

    def __init__(self, *, step_s: float = 0.0, failing_prompt: int | None = None) -> None:
        self.cancelled: list[str] = []
        self.failing_prompt = failing_prompt
        self.is_dead = False
        self.is_shut_down = False
        self.has_ended = threading.Event()
        self._step_s = step_s

    async def generate(
        self, request_id: str, prompt: Sequence[int], sampling: Sampling, *, at_once: bool
    ) -> AsyncIterator[tuple[Sequence[int], LogProbs | None]]:
        def found(some: list[int]) -> tuple[Sequence[int], LogProbs | None]:
            wanted = sampling.log_probs is not None
            return some, [{token: -0.5, token + 1: -1.5} for token in some] if wanted else None

        tokens: list[int] = []
        try:
            while len(tokens) < sampling.max_tokens and tokens[-1:] != [sampling.end_id]:
                await asyncio.sleep(self._step_s)
                if self.is_dead or prompt[-1] == self.failing_prompt:
                    raise RuntimeError("the engine is dead")
                tokens.append((prompt[-1] + len(tokens) + 1) % 10 if prompt[-1] else 1)
                if not at_once:
                    yield found(tokens[-1:])
            if at_once:
                yield found(tokens)
        except asyncio.CancelledError:
            self.cancelled.append(request_id)
            raise
        finally:
            self.has_ended.set()

    def shutdown(self) -> None:
        self.is_shut_down = True


def engine_over(
    scripted: ScriptedModel | ScriptedSource, *, streaming: bool, died: threading.Event
) -> ServingEngine:
    if isinstance(scripted, ScriptedModel):
        return EngineThread(NumpyEngine(scripted))

    async def open_source() -> ScriptedSource:
        return scripted

    return VllmEngine(
        open_source,
        vocabulary=Vocabulary(size=10, start_id=1, end_id=END),
        limits=LengthLimits(context_length=100_000),
        streaming=streaming,
        on_death=died.set,
    )


@dataclass
class Running:
    """A runner, what counts its calls, and what is told when its engine dies."""

    runner: Runner
    meter: RecordedMeter
    died: threading.Event

    def ask(self, *calls: RecordedCall) -> None:
        """Hand calls over together, and wait until each has what is due to it."""
        self.runner.submit(calls)
        self.meter.wait()


@contextmanager
def running(
    scripted: ScriptedModel | ScriptedSource, *, streaming: bool = False, room: int = 100_000
) -> Iterator[Running]:
    """Run an engine in which a cancellation is noticed at the next step."""
    meter, died = RecordedMeter(), threading.Event()
    engine = engine_over(scripted, streaming=streaming, died=died)
    runner = Runner(engine, streaming=streaming, output_types=TYPES, meter=meter, room=room)
    with (
        mock.patch.object(batch, "CANCELLATION_POLL_SECONDS", 0.0),
        mock.patch.object(batch, "CANCELLATION_POLL_SHARE", math.inf),
    ):
        yield Running(runner, meter, died)
        runner.close()


def run(
    *calls: RecordedCall,
    scripted: ScriptedModel | ScriptedSource | None = None,
    streaming: bool = False,
    room: int = 100_000,
) -> None:
    """Hand calls over together to an engine of their own; see `Running.ask`."""
    with running(scripted or ScriptedModel(count_up), streaming=streaming, room=room) as started:
        started.ask(*calls)
