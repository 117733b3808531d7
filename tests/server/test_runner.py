"""Calls, with scripted engines and without Triton: each gets what is due to it."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from ft_serving.core.arrays import AnyArray
from ft_serving.core.protocol import TensorType
from ft_serving.server.backend import batch
from ft_serving.server.backend.batch import RefusalCode
from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.requests.plan import RequestPlan
from ft_serving.server.requests.request import GenerationRequest, GenerationResult, to_tensors
from tests.server.calls import ENDLESS, TYPES, RecordedCall, ScriptedSource, run, running
from tests.server.engine.scripted import ScriptedModel, always, count_up, peak

FAULT = (RefusalCode.INTERNAL, "internal error; the server's log has the cause")
CANCELLED = (RefusalCode.CANCELLED, "cancelled")

Scripted = ScriptedModel | ScriptedSource

both_engines = pytest.mark.parametrize(
    "scripted",
    [lambda: ScriptedModel(count_up), lambda: ScriptedSource(step_s=0.002)],
    ids=["cpu", "vllm"],
)
either_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])


@both_engines
def test_a_plain_call_gets_one_response(scripted: Callable[[], Scripted]) -> None:
    call = RecordedCall([1, 2], 3)
    run(call, scripted=scripted())
    assert call.responses == [({"output_ids": [[[1, 2, 3, 4, 5]]], "sequence_length": [[5]]}, True)]
    assert call.errors == []


@both_engines
def test_a_stream_grows_to_the_same_text_and_ends_once(scripted: Callable[[], Scripted]) -> None:
    call = RecordedCall([1, 2], 3)
    run(call, scripted=scripted(), streaming=True)
    lengths = [tensors["sequence_length"][0][0] for tensors, _ in call.responses]
    assert lengths == sorted(set(lengths)), "each response has more than the one before"
    for length, text in zip(lengths, call.texts, strict=True):
        assert text == [1, 2, 3, 4, 5][:length] + [9] * (5 - length), "always whole tensors"
    assert [is_last for _, is_last in call.responses] == [False] * (len(lengths) - 1) + [True]


@both_engines
@either_way
def test_the_end_token_ends_a_text_and_stays_in_it(
    scripted: Callable[[], Scripted], streaming: bool
) -> None:
    call = RecordedCall([6], 8)
    run(call, scripted=scripted(), streaming=streaming)
    assert call.texts[-1] == [6, 7, 8, 9, 9, 9, 9, 9, 9]
    assert call.responses[-1][0]["sequence_length"] == [[4]]


@both_engines
@either_way
def test_a_stop_word_of_several_tokens_ends_a_text(
    scripted: Callable[[], Scripted], streaming: bool
) -> None:
    call = RecordedCall([1], 8, {"stop_words_list": np.array([[[4, 5], [2, -1]]], np.int32)})
    run(call, scripted=scripted(), streaming=streaming)
    assert call.responses[-1][0]["sequence_length"] == [[5]], "1, 2, 3, 4, 5"


@either_way
def test_a_stop_word_frees_the_texts_place_in_vllm_which_would_go_on(streaming: bool) -> None:
    source = ScriptedSource()
    long = RecordedCall([0], 90_000, {"stop_words_list": np.array([[[1, 1], [2, -1]]], np.int32)})
    with running(source, streaming=streaming, room=1_000_000) as started:
        started.ask(long)
        # Before the engine is closed, which would cancel it, too.
        assert source.has_ended.wait(60)
        assert len(source.cancelled) == 1
    assert long.responses[-1][0]["sequence_length"] == [[3]]


@both_engines
@either_way
def test_an_invalid_call_gets_an_error_and_the_others_their_answers(
    scripted: Callable[[], Scripted], streaming: bool
) -> None:
    wrong = RecordedCall([1, 99], 2)
    unknown = RecordedCall([1], 2, {"unheard_of": np.array([1])})
    good = RecordedCall([1], 1)
    run(wrong, good, unknown, scripted=scripted(), streaming=streaming)
    assert good.texts == [[1, 2]]
    ((refusal, message),) = wrong.errors
    assert refusal is RefusalCode.INVALID
    assert message.startswith("input_ids: must be from 0 to 9, the vocabulary; got 99")
    assert unknown.errors == [(RefusalCode.INVALID, "unheard_of: is unknown here")]
    assert wrong.responses == unknown.responses == []


@both_engines
def test_rows_of_one_request_are_answered_together(scripted: Callable[[], Scripted]) -> None:
    rows = {
        "input_ids": np.array([[1, 2], [5, 0]], np.uint32),
        "input_lengths": np.array([[2], [1]], np.uint32),
        "request_output_len": np.array([[2], [3]], np.uint32),
    }
    call = RecordedCall([], 0, rows)
    run(call, scripted=scripted())
    assert call.responses[-1][0] == {
        "output_ids": [[[1, 2, 3, 4, 9]], [[5, 6, 7, 8, 9]]],
        "sequence_length": [[4], [5]],
    }, "lengths count the padding, as FasterTransformer's do"


@both_engines
def test_a_cancelled_call_is_computed_no_further_and_the_others_go_on(
    scripted: Callable[[], Scripted],
) -> None:
    engine = scripted()
    cancelled, other = RecordedCall([0], 5000, cancelled_after=2), RecordedCall([2], 3)
    waiting = RecordedCall([0], 5000, cancelled_after=0)
    run(cancelled, other, waiting, scripted=engine, streaming=True)
    assert cancelled.errors == waiting.errors == [CANCELLED], "else Triton keeps the request"
    assert len(cancelled.responses) < 5000
    assert other.texts[-1] == [2, 3, 4, 5]
    if isinstance(engine, ScriptedModel):
        assert [len(texts) for texts in engine.computed] == [2, 2, 1]


def test_a_call_that_vllm_has_not_begun_can_be_cancelled() -> None:
    waiting, source = RecordedCall([1], 5, cancelled_after=0), ScriptedSource(step_s=3600)
    run(waiting, scripted=source)
    assert waiting.errors == [CANCELLED]


@both_engines
def test_a_response_that_triton_does_not_take_becomes_an_error_of_that_call_only(
    scripted: Callable[[], Scripted],
) -> None:
    lost, other = RecordedCall([1], 8, losing_response=2), RecordedCall([1], 3)
    run(lost, other, scripted=scripted(), streaming=True)
    assert len(lost.responses) == 1
    assert lost.errors == [(RefusalCode.INTERNAL, "no room in shared memory")]
    assert other.texts[-1] == [1, 2, 3, 4]


@pytest.mark.parametrize("prompt", [[1], [99]], ids=["an answer", "an error"])
def test_calls_that_triton_takes_nothing_for_are_in_the_log(
    prompt: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    lost = RecordedCall(prompt, 1, accepts_errors=False, losing_response=1)
    other = RecordedCall([1], 2)
    run(lost, other)
    assert not lost.responses
    assert not lost.errors
    assert other.texts == [[1, 2, 3]]
    assert "A request has no answer" in caplog.text
    assert "no room in shared memory" in caplog.text


@both_engines
def test_three_hundred_mixed_calls_get_each_their_own_text(
    scripted: Callable[[], Scripted],
) -> None:
    calls = [RecordedCall([1 + number % 4], 1 + number % 5, ENDLESS) for number in range(300)]
    run(*calls, scripted=scripted())
    for call in calls:
        first = call.prompt[0]
        assert call.texts == [list(range(first, first + call.output_len + 1))]


# The engine for CPUs.


def test_a_stream_on_a_cpu_has_a_response_a_token() -> None:
    call = RecordedCall([1, 2], 3)
    run(call, streaming=True)
    assert len(call.responses) == 3


def test_calls_that_come_later_are_computed_beside_those_under_way() -> None:
    long = RecordedCall([1], 50_000, {"end_id": np.array([7], np.uint32)})
    short = RecordedCall([1], 2)
    with running(ScriptedModel(always(peak(0))), streaming=True, room=1_000_000) as started:
        started.runner.submit([long])
        assert long.responded.wait(60)
        started.runner.submit([short])
        assert short.responded.wait(60)
        assert len(long.responses) < 50_000, "the long one was still under way"
        long.cancelled_after = 0
        started.meter.wait()
    assert short.texts[-1] == [1, 0, 0]
    assert long.errors == [CANCELLED]


def test_triton_is_not_asked_for_each_token(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    class Asked(RecordedCall):
        def is_cancelled(self) -> bool:
            nonlocal asked
            asked += 1
            return False

    with running(ScriptedModel(count_up)) as started:
        monkeypatch.setattr(batch, "CANCELLATION_POLL_SECONDS", 3600.0)
        started.ask(Asked([1], 7))
    assert asked == 1, "asking costs a good part of a small model's token"


@pytest.mark.parametrize(
    ("model", "room", "message"),
    [
        (ScriptedModel(count_up, memory=20), 100_000, "1 rows of 301 tokens need"),
        (ScriptedModel(count_up), 1024, "the answer takes 0.0 MiB, there are 0.0 for one in"),
    ],
    ids=["in memory", "in shared memory"],
)
def test_a_call_that_there_is_no_room_for_is_refused(
    model: ScriptedModel, room: int, message: str
) -> None:
    large, small = RecordedCall([1], 300), RecordedCall([1], 1)
    run(large, small, scripted=model, room=room)
    ((refusal, found),) = large.errors
    assert refusal is RefusalCode.INVALID
    assert found.startswith(message)
    assert small.texts == [[1, 2]]


def test_memory_that_the_system_denies_is_an_error_of_that_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plan(self: NumpyEngine, asked: GenerationRequest) -> RequestPlan:
        if asked["request_output_len"][0, 0] == 9:
            raise MemoryError("Unable to allocate 9 EiB")
        return original(self, asked)

    original = NumpyEngine.plan
    monkeypatch.setattr(NumpyEngine, "plan", plan)
    hungry, modest = RecordedCall([1], 9), RecordedCall([1], 1)
    run(hungry, modest)
    assert hungry.errors == [(RefusalCode.INVALID, "Unable to allocate 9 EiB")]
    assert modest.texts == [[1, 2]]


def test_an_unforeseen_failure_is_logged_and_ends_only_the_calls_under_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(text: tuple[int, ...]) -> list[float]:
        return count_up(text) if len(text) < 4 else [1 / 0]

    done, hit, later = RecordedCall([1], 1), RecordedCall([1], 6), RecordedCall([1], 1)
    with running(ScriptedModel(failing)) as started:
        started.ask(done, hit)
        started.ask(later)
    assert done.texts == later.texts == [[1, 2]]
    assert hit.errors == [FAULT], "a defect's text is for the log, not for clients"
    assert "ZeroDivisionError" in caplog.text


# vLLM.


def test_tokens_that_wait_for_a_request_are_sent_together() -> None:
    source = ScriptedSource()

    class Slow(RecordedCall):
        def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
            assert source.has_ended.wait(60)
            super().respond(tensors, is_last=is_last)

    call = Slow([1], 8, ENDLESS)
    run(call, scripted=source, streaming=True)
    assert len(call.responses) <= 2, "all tokens came while the first was sent"
    assert call.texts[-1] == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_what_vllm_does_not_do_is_refused_by_name() -> None:
    penalty = np.array([[0.5]], np.float32)
    wrong = RecordedCall([1], 2, {"beam_width": np.array([[4]]), "presence_penalty": penalty})
    run(wrong, scripted=ScriptedSource())
    ((refusal, message),) = wrong.errors
    assert refusal is RefusalCode.INVALID
    assert message.startswith("beam_width: this engine samples only (1); got 4; presence_penalty:")


def test_a_text_that_fails_ends_its_own_call_only(caplog: pytest.LogCaptureFixture) -> None:
    hit, other = RecordedCall([3], 4), RecordedCall([1], 2)
    run(hit, other, scripted=ScriptedSource(failing_prompt=3))
    assert hit.errors == [FAULT]
    assert other.texts[-1] == [1, 2, 3]
    assert "vLLM failed to compute a text" in caplog.text


@pytest.mark.parametrize("count", [0, 3])
def test_a_dead_engine_ends_all_calls_with_an_error_and_then_the_process(count: int) -> None:
    source = ScriptedSource(step_s=0.005)
    calls = [RecordedCall([0], 5000) for _ in range(count)]
    with running(source, streaming=True) as started:
        started.runner.submit(calls)
        assert all(call.responded.wait(60) for call in calls)
        source.is_dead = True
        started.meter.wait()
        assert started.died.wait(60)
    assert [call.errors for call in calls] == [[FAULT]] * count
    assert source.is_shut_down


def test_log_probabilities_are_those_of_the_chosen_tokens() -> None:
    greedy = RecordedCall([1], 3, {"is_return_log_probs": np.array([[True]])})
    run(greedy, scripted=ScriptedSource())
    [(tensors, _)] = greedy.responses
    assert tensors["cum_log_probs"] == [[-1.5]]
    assert tensors["output_log_probs"] == [[[0.0, 0.0, 0.0]]], "the likeliest is all of the top 1"


# Tensors for Triton.


@pytest.mark.parametrize("integer", [TensorType.UINT32, TensorType.INT32])
def test_outputs_are_contiguous_and_of_the_types_that_the_configuration_declares(
    integer: TensorType,
) -> None:
    result = GenerationResult(
        output_ids=np.arange(20, dtype=np.uint32).reshape(1, 2, 10)[:, :, ::2],
        sequence_length=np.array([[5, 5]], np.uint32),
        cum_log_probs=np.array([[-0.5, -1]], np.float32),
        output_log_probs=None,
        is_final=True,
    )
    types = TYPES | {"output_ids": integer, "sequence_length": integer}
    tensors = to_tensors(result, types)
    found = {name: (tensor.dtype.name, tensor.tolist()) for name, tensor in tensors.items()}
    assert found == {
        "output_ids": (integer.lower(), [[[0, 2, 4, 6, 8], [10, 12, 14, 16, 18]]]),
        "sequence_length": (integer.lower(), [[5, 5]]),
        "cum_log_probs": ("float32", [[-0.5, -1]]),
    }, "Triton's clients read the bytes by the type that the metadata has"
    assert tensors["output_ids"].flags.c_contiguous, "Triton takes an array's memory as it lies"
