"""The adapter between Triton's requests and vLLM: each request gets what is due to it."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from ft_serving.core.arrays import AnyArray
from ft_serving.server.backend.batch import RefusalCode, Runner
from tests.server.backend.test_batch import TYPES, RecordedCall, RecordedMeter
from tests.server.vllm.scripted_source import ScriptedSource, engine_of


def run(
    *calls: RecordedCall, source: ScriptedSource | None = None, streaming: bool = True
) -> ScriptedSource:
    """Hand calls over together, and wait until each has what is due to it."""
    source = source or ScriptedSource()
    meter = RecordedMeter()
    runner = runner_of(source, meter, streaming=streaming)
    runner.submit(calls)
    meter.wait()
    runner.close()
    return source


def runner_of(
    source: ScriptedSource,
    meter: RecordedMeter,
    *,
    streaming: bool = True,
    died: list[bool] | None = None,
) -> Runner:
    engine = engine_of(source, streaming=streaming, died=died)
    return Runner(engine, streaming=streaming, output_types=TYPES, meter=meter, room=100_000)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_plain_call_gets_one_response() -> None:
    call = RecordedCall([1, 2], 3)
    source = run(call, streaming=False)
    assert call.responses == [({"output_ids": [[[1, 2, 3, 4, 5]]], "sequence_length": [[5]]}, True)]
    assert source.is_shut_down


def test_a_stream_grows_to_the_same_text_and_ends_once() -> None:
    call = RecordedCall([1, 2], 3)
    run(call, source=ScriptedSource(step_s=0.02))
    assert call.texts[-1] == [1, 2, 3, 4, 5]
    assert [is_last for _, is_last in call.responses].count(True) == 1
    lengths = [tensors["sequence_length"][0][0] for tensors, _ in call.responses]
    assert lengths == sorted(set(lengths)), "each response has more than the one before"


def test_tokens_that_wait_for_a_request_are_sent_together() -> None:
    class Slow(RecordedCall):
        def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
            time.sleep(0.02)
            super().respond(tensors, is_last=is_last)

    call = Slow([1], 8, {"end_id": np.array([0], np.uint32)})
    run(call)
    assert len(call.responses) < 8, "sending is slower than computing"
    assert call.texts[-1] == [1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_end_token_ends_a_text_and_stays_in_it(streaming: bool) -> None:
    call = RecordedCall([6], 8)
    run(call, streaming=streaming)
    assert call.texts[-1] == [6, 7, 8, 9, 9, 9, 9, 9, 9]
    assert call.responses[-1][0]["sequence_length"] == [[4]]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_stop_word_of_several_tokens_ends_a_text_that_vllm_would_go_on_with(
    streaming: bool,
) -> None:
    stop = {"stop_words_list": np.array([[[4, 5], [2, -1]]], np.int32)}
    call = RecordedCall([1], 8, stop)
    source = run(call, source=ScriptedSource(step_s=0.01), streaming=streaming)
    assert call.responses[-1][0]["sequence_length"] == [[5]], "1, 2, 3, 4, 5"
    assert len(source.cancelled) == 1, "its place in the engine is free at once"


def test_rows_of_one_request_are_texts_of_their_own() -> None:
    class Rows(RecordedCall):
        def tensors(self) -> Mapping[str, AnyArray]:
            return {
                "input_ids": np.array([[1, 2], [5, 0]], np.uint32),
                "input_lengths": np.array([[2], [1]], np.uint32),
                "request_output_len": np.array([[2], [3]], np.uint32),
            }

    call = Rows([], 0)
    run(call, streaming=False)
    assert call.responses[-1][0] == {
        "output_ids": [[[1, 2, 3, 4, 9]], [[5, 6, 7, 8, 9]]],
        "sequence_length": [[4], [5]],
    }, "lengths count the padding, as FasterTransformer's do"


def test_a_cancelled_call_frees_its_place_and_the_others_go_on() -> None:
    endless = {"end_id": np.array([0], np.uint32)}
    cancelled = RecordedCall([1], 10_000, endless, cancelled_after=2)
    other = RecordedCall([2], 3)
    source = run(cancelled, other, source=ScriptedSource(step_s=0.002))
    assert cancelled.errors == [(RefusalCode.CANCELLED, "cancelled")]
    assert other.texts[-1] == [2, 3, 4, 5]
    assert len(source.cancelled) == 1


def test_a_call_that_is_cancelled_while_it_waits_is_ended() -> None:
    waiting = RecordedCall([1], 5, cancelled_after=0)
    source = run(waiting, source=ScriptedSource(step_s=3600))
    assert waiting.errors == [(RefusalCode.CANCELLED, "cancelled")]
    assert source.cancelled


def test_a_refused_call_names_its_parameters_and_the_others_are_answered() -> None:
    wrong = RecordedCall(
        [1],
        2,
        {
            "beam_width": np.array([[4]], np.uint32),
            "presence_penalty": np.array([[0.5]], np.float32),
        },
    )
    good = RecordedCall([1], 1)
    run(wrong, good)
    ((refusal, message),) = wrong.errors
    assert refusal is RefusalCode.INVALID
    assert message.startswith("beam_width: this engine samples only (1); got 4; presence_penalty:")
    assert good.texts == [[1, 2]]


def test_a_text_that_fails_ends_its_own_call_only(caplog: pytest.LogCaptureFixture) -> None:
    source = ScriptedSource()
    source.failing_prompt = 3
    hit, other = RecordedCall([3], 4), RecordedCall([1], 2)
    run(hit, other, source=source)
    assert hit.errors == [(RefusalCode.INTERNAL, "internal error; the server's log has the cause")]
    assert other.texts[-1] == [1, 2, 3]
    assert "vLLM failed to compute a text" in caplog.text


@pytest.mark.parametrize("calls", [0, 3])
def test_a_dead_engine_ends_all_calls_with_an_error_and_then_the_process(calls: int) -> None:
    source, meter, died = ScriptedSource(step_s=0.01), RecordedMeter(), list[bool]()
    runner = runner_of(source, meter, died=died)
    endless = {"end_id": np.array([0], np.uint32)}
    under_way = [RecordedCall([1], 10_000, endless) for _ in range(calls)]
    runner.submit(under_way)
    eventually(lambda: all(call.responses for call in under_way))
    source.is_dead = True
    meter.wait()
    eventually(lambda: died == [True])
    assert [len(call.errors) for call in under_way] == [1] * calls
    runner.close()


def test_log_probabilities_are_those_of_the_chosen_tokens() -> None:
    greedy = RecordedCall([1], 3, {"is_return_log_probs": np.array([[True]])})
    run(greedy, streaming=False)
    [(tensors, _)] = greedy.responses
    assert tensors["cum_log_probs"] == [[-1.5]]
    assert tensors["output_log_probs"] == [[[0.0, 0.0, 0.0]]], "the likeliest is all of the top 1"


def test_five_hundred_mixed_calls_get_each_their_own_text() -> None:
    calls = [
        RecordedCall([1 + number % 7], 1 + number % 5, {"end_id": np.array([0], np.uint32)})
        for number in range(500)
    ]
    run(*calls)
    for call in calls:
        first = call.prompt[0]
        wanted = [min(first + step, 9) for step in range(call.output_len + 1)]
        assert call.texts[-1] == wanted
        assert call.errors == []
