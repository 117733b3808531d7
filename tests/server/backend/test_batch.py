"""Calls, with a scripted model and without Triton: each gets what is due to it."""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from ft_serving.core.arrays import AnyArray
from ft_serving.core.protocol import TensorType
from ft_serving.server.backend import batch
from ft_serving.server.backend.batch import RefusalCode, Runner
from ft_serving.server.engine import TextGenerator
from ft_serving.server.engine.generate import EngineThread
from ft_serving.server.errors import DeliveryError
from ft_serving.server.requests import GenerationRequest
from ft_serving.server.requests.plan import RequestPlan
from tests.server.engine.scripted import ScriptedModel, always, count_up, peak

TYPES = {
    "output_ids": TensorType.UINT32,
    "sequence_length": TensorType.UINT32,
    "cum_log_probs": TensorType.FP32,
    "output_log_probs": TensorType.FP32,
}


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
        self.counts: list[int] = []
        self._left = threading.Semaphore(0)

    def begin(self, count: int) -> None:
        self.counts.append(count)

    def end(self, seconds: float) -> None:
        assert seconds >= 0
        self._left.release()

    def wait(self) -> None:
        """Wait until all have ended."""
        for _ in range(sum(self.counts)):
            assert self._left.acquire(timeout=60)


@pytest.fixture(autouse=True)
def always_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a cancellation is noticed at a step that a test can name."""
    monkeypatch.setattr(batch, "CANCELLATION_POLL_SECONDS", 0.0)
    monkeypatch.setattr(batch, "CANCELLATION_POLL_SHARE", math.inf)


def run(
    *calls: RecordedCall,
    streaming: bool = False,
    model: ScriptedModel | None = None,
    room: int = 10_000,
) -> None:
    """Hand calls over together, and wait until each has what is due to it."""
    meter = RecordedMeter()
    runner = runner_of(model or ScriptedModel(count_up), meter, streaming=streaming, room=room)
    runner.submit(calls)
    meter.wait()
    runner.close()


def runner_of(
    model: ScriptedModel, meter: RecordedMeter, *, streaming: bool, room: int = 10_000
) -> Runner:
    engine = EngineThread(TextGenerator(model))
    return Runner(engine, streaming=streaming, output_types=TYPES, meter=meter, room=room)


def test_a_plain_call_gets_one_response() -> None:
    call = RecordedCall([1, 2], 3)
    run(call)
    assert call.responses == [({"output_ids": [[[1, 2, 3, 4, 5]]], "sequence_length": [[5]]}, True)]
    assert call.errors == []


def test_a_streaming_call_gets_the_whole_tensors_after_each_token() -> None:
    call = RecordedCall([1, 2], 3)
    run(call, streaming=True)
    assert call.responses == [
        ({"output_ids": [[[1, 2, 3, 9, 9]]], "sequence_length": [[3]]}, False),
        ({"output_ids": [[[1, 2, 3, 4, 9]]], "sequence_length": [[4]]}, False),
        ({"output_ids": [[[1, 2, 3, 4, 5]]], "sequence_length": [[5]]}, True),
    ], "as many responses as tokens, and no empty one at the end"


def test_a_text_that_ends_early_ends_its_stream() -> None:
    call = RecordedCall([6], 8)
    run(call, streaming=True)
    assert [is_last for _, is_last in call.responses] == [False, False, True], "7, 8 and the end"
    assert call.texts[-1] == [6, 7, 8, 9, 9, 9, 9, 9, 9]


def test_calls_of_different_lengths_are_computed_together() -> None:
    model = ScriptedModel(count_up)
    calls = RecordedCall([1, 2, 3], 2), RecordedCall([4], 1)
    run(*calls, model=model)
    assert [call.texts for call in calls] == [[[1, 2, 3, 4, 5]], [[4, 5]]]
    assert max(len(texts) for texts in model.computed) <= 2


def test_calls_that_come_later_are_computed_beside_those_under_way() -> None:
    begun, other_answered = threading.Event(), threading.Event()

    class Long(RecordedCall):
        def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
            begun.set()
            super().respond(tensors, is_last=is_last)

    class Short(RecordedCall):
        def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
            super().respond(tensors, is_last=is_last)
            other_answered.set()

    meter = RecordedMeter()
    long = Long([1], 2_000, {"end_id": np.array([7], np.uint32)})
    runner = runner_of(ScriptedModel(always(peak(0))), meter, streaming=True, room=100_000)
    runner.submit([long])
    assert begun.wait(60)
    short = Short([1], 2)
    runner.submit([short])
    assert other_answered.wait(60)
    assert len(long.responses) < 2_000, "the long one was still under way"
    long.cancelled_after = 0
    meter.wait()
    runner.close()
    assert short.texts[-1] == [1, 0, 0]
    assert long.errors == [(RefusalCode.CANCELLED, "cancelled")]


def test_a_short_text_is_answered_while_a_longer_one_goes_on() -> None:
    order: list[str] = []

    class Ordered(RecordedCall):
        def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
            order.append(f"{self.output_len}")

    run(Ordered([1], 4), Ordered([1], 2))
    assert order == ["2", "4"]


@pytest.mark.parametrize("streaming", [False, True])
def test_an_invalid_call_gets_an_error_and_the_others_their_answers(streaming: bool) -> None:
    wrong = RecordedCall([1, 99], 2)
    missing = RecordedCall([1], 2, {"unheard_of": np.array([1])})
    good = RecordedCall([1], 1)
    run(wrong, good, missing, streaming=streaming)
    assert good.texts == [[1, 2]]
    ((refusal, message),) = wrong.errors
    assert refusal is RefusalCode.INVALID
    assert message.startswith("input_ids: must be from 0 to 9, the vocabulary; got 99")
    assert missing.errors == [(RefusalCode.INVALID, "unheard_of: is unknown here")]
    assert wrong.responses == missing.responses == []


def test_a_cancelled_call_is_computed_no_further() -> None:
    model = ScriptedModel(count_up)
    cancelled, other = RecordedCall([1], 6, cancelled_after=2), RecordedCall([2], 3)
    run(cancelled, other, streaming=True, model=model)
    assert len(cancelled.responses) == 2
    assert cancelled.errors == [(RefusalCode.CANCELLED, "cancelled")], (
        "else Triton keeps the request"
    )
    assert other.texts[-1] == [2, 3, 4, 5]
    assert [len(texts) for texts in model.computed] == [2, 2, 1]


def test_triton_is_not_asked_for_each_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "CANCELLATION_POLL_SECONDS", 3600.0)
    asked = 0

    class Asked(RecordedCall):
        def is_cancelled(self) -> bool:
            nonlocal asked
            asked += 1
            return False

    run(Asked([1], 7))
    assert asked == 1, "asking costs a good part of a small model's token"


def test_calls_that_do_not_fit_together_are_computed_one_after_the_other() -> None:
    model = ScriptedModel(count_up, memory=20)
    calls = [RecordedCall([1], 7), RecordedCall([2], 6), RecordedCall([3], 5)]
    run(*calls, model=model)
    assert [call.texts[0][-1] for call in calls] == [8, 8, 8]
    assert max(len(texts) for texts in model.computed) == 2, "three rows of 8 tokens are too much"


def test_a_call_that_does_not_fit_alone_is_refused() -> None:
    hungry, modest = RecordedCall([1], 1000), RecordedCall([1], 1)
    run(hungry, modest, model=ScriptedModel(count_up, memory=20))
    ((refusal, message),) = hungry.errors
    assert refusal is RefusalCode.INVALID
    assert message.startswith("1 rows of 1001 tokens need")
    assert modest.texts == [[1, 2]]


def test_a_call_whose_answer_shared_memory_has_no_room_for_is_refused() -> None:
    large, small = RecordedCall([1], 300), RecordedCall([1], 1)
    run(large, small, room=1024)
    ((refusal, message),) = large.errors
    assert refusal is RefusalCode.INVALID
    assert message.startswith("the answer takes 0.0 MiB, there are 0.0 for one in shared memory")
    assert small.texts == [[1, 2]]


def test_memory_that_the_system_denies_is_an_error_of_that_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plan(self: TextGenerator, asked: GenerationRequest) -> RequestPlan:
        if asked.tensors["request_output_len"][0, 0] == 9:
            raise MemoryError("Unable to allocate 9 EiB")
        return original(self, asked)

    original = TextGenerator.plan
    monkeypatch.setattr(TextGenerator, "plan", plan)
    hungry, modest = RecordedCall([1], 9), RecordedCall([1], 1)
    run(hungry, modest)
    assert hungry.errors == [(RefusalCode.INVALID, "Unable to allocate 9 EiB")]
    assert modest.texts == [[1, 2]]


def failing(after: int) -> Callable[[tuple[int, ...]], list[float]]:
    def script(text: tuple[int, ...]) -> list[float]:
        if len(text) > after:
            raise ZeroDivisionError("a defect")
        return count_up(text)

    return script


def test_an_unforeseen_failure_is_logged_and_ends_the_calls_it_concerns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done, hit = RecordedCall([1], 1), RecordedCall([1], 6)
    run(done, hit, model=ScriptedModel(failing(after=3)))
    assert done.texts == [[1, 2]], "it had its answer before"
    assert done.errors == []
    assert hit.errors == [
        (RefusalCode.INTERNAL, "internal error; the server's log has the cause"),
    ], "a defect's text is for the log, not for clients"
    assert "ZeroDivisionError: a defect" in caplog.text


def test_a_call_that_comes_after_a_failure_is_answered() -> None:
    model, meter = ScriptedModel(failing(after=3)), RecordedMeter()
    runner = runner_of(model, meter, streaming=False)
    runner.submit([RecordedCall([1], 6)])
    meter.wait()
    later = RecordedCall([1], 1)
    runner.submit([later])
    meter.counts = [1]
    meter.wait()
    runner.close()
    assert later.texts == [[1, 2]]


def test_a_response_that_triton_does_not_take_becomes_an_error_of_that_call_alone() -> None:
    model = ScriptedModel(count_up)
    lost, other = RecordedCall([1], 5, losing_response=2), RecordedCall([1], 3)
    run(lost, other, streaming=True, model=model)
    assert len(lost.responses) == 1
    assert lost.errors == [(RefusalCode.INTERNAL, "no room in shared memory")]
    assert other.texts[-1] == [1, 2, 3, 4]
    assert [len(texts) for texts in model.computed] == [2, 2, 1], "nothing more is computed for it"


@pytest.mark.parametrize("prompt", [[1], [99]], ids=["an answer", "an error"])
def test_calls_that_triton_takes_nothing_for_are_in_the_log(
    prompt: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    lost, other = (
        RecordedCall(prompt, 1, accepts_errors=False, losing_response=1),
        RecordedCall([1], 2),
    )
    run(lost, other)
    assert lost.responses == []
    assert lost.errors == []
    assert other.texts == [[1, 2, 3]]
    assert "A request has no answer" in caplog.text
    assert "no room in shared memory" in caplog.text
