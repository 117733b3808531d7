"""Requests that cannot be done are refused by name, and nothing else fails."""

import numpy as np
import pytest

from ft_serving.core.lengths import LengthLimits
from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.errors import RequestError
from ft_serving.server.requests.request import GenerationRequest
from tests.generating import generate
from tests.server.engine.scripted import ScriptedModel, count_up, request

ENGINE = NumpyEngine(ScriptedModel(count_up))

FLOATS = (
    *("runtime_top_p", "temperature", "repetition_penalty", "presence_penalty", "len_penalty"),
    *("beam_search_diversity_rate", "top_p_decay", "top_p_min"),
)


def refusal(asked: GenerationRequest, engine: NumpyEngine = ENGINE) -> str:
    with pytest.raises(RequestError) as caught:
        engine.plan(asked)
    return str(caught.value)


def with_tensor(name: str, value: np.ndarray) -> GenerationRequest:
    return {**request([[1, 2], [3, 4]], 5), name: value}


def test_a_request_has_the_tensors_of_the_protocol_and_no_others() -> None:
    one = np.array([1])
    asked = {"input_lengths": one, "memory_len": one, "a_b": one}
    assert refusal(asked) == (
        "input_ids: is required and missing; request_output_len: is required and missing; "
        "a_b: is unknown here; memory_len: is unknown here"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("input_ids", [1, 2], "input_ids: must be whole numbers [rows, length]"),
        ("input_ids", np.empty((0, 3), np.int32), "at least one row; got int32 [0, 3]"),
        ("input_ids", np.ones((2, 2)), "got float64 [2, 2]"),
        ("input_ids", [[1, 2], [3, 10]], "input_ids: must be from 0 to 9, the vocabulary"),
        ("input_ids", [[1, -2], [3, 4]], "got -2 in row 0 at 1"),
        ("input_lengths", [2, 3], "input_lengths: must be from 1 to 2; got 3"),
        ("input_lengths", [2, 0], "input_lengths: must be from 1 to 2; got 0"),
        ("input_lengths", [2, 2, 2], "must be whole numbers [1] or [2]; got int64 [3]"),
        ("input_lengths", [2.0, 2.0], "must be whole numbers [1] or [2]; got float64 [2]"),
        ("request_output_len", [5, 0], "request_output_len: must be from 1 to"),
        ("request_output_len", [[5, 5]], "must be whole numbers [1] or [2]; got"),
        ("request_output_len", [2**32 - 1] * 2, "must be from 1 to 2147483645; got"),
        ("start_id", [10], "start_id: must be from 0 to 9; got 10"),
        ("end_id", [2**31], "end_id: must be from 0 to 9; got 2147483648"),
        ("beam_width", [0], "beam_width: must be from 1 to 64; got 0"),
        ("beam_width", [65], "beam_width: must be from 1 to 64; got 65"),
        ("runtime_top_k", [-1], "runtime_top_k: must be from 0 to"),
        ("min_length", [-1], "min_length: must be from 0 to"),
        ("random_seed", [-1], "random_seed: must be from 0 to"),
        ("temperature", [-0.5], "temperature: must be at least 0.0; got -0.5"),
        ("repetition_penalty", [0.0], "repetition_penalty: must be above 0.0"),
        ("is_return_log_probs", [1], "is_return_log_probs: must be booleans"),
        ("temperature", ["1"], "temperature: must be numbers [1] or [2]; got <U1 [1]"),
        ("temperature", [None], "temperature: must be numbers [1] or [2]; got object"),
        ("temperature", np.empty(0), "temperature: must be numbers [1] or [2]; got float64 [0]"),
        *(
            (name, [value], f"{name}: must be finite")
            for name in FLOATS
            for value in (np.nan, -np.inf, 1e39)
        ),
        ("stop_words_list", [[[1], [2]]], "stop_words_list: offsets must be at most"),
        ("stop_words_list", [[[1, 2], [2, 1]]], "stop_words_list: offsets must not"),
        ("bad_words_list", [[[10], [1]]], "bad_words_list: token ids must be from 0 to 9"),
        ("bad_words_list", np.ones((3, 2, 1), int), "whole numbers [2, 2, n] or [2, n]; got"),
        ("bad_words_list", np.ones((2, 3, 1), int), "got int64 [2, 3, 1]"),
        ("bad_words_list", np.ones(4, int), "got int64 [4]"),
        ("stop_words_list", np.ones((2, 1)), "got float64 [2, 1]"),
        ("prompt_learning_task_name_ids", [0], "no learned prompts; leave it out"),
    ],
)
def test_a_tensor_that_makes_no_sense_is_named(name: str, value: object, message: str) -> None:
    assert message in refusal(with_tensor(name, np.array(value)))


def test_both_penalties_at_once_are_refused() -> None:
    asked = request([[1]], 2, repetition_penalty=1.0, presence_penalty=0.0)
    assert "repetition_penalty, presence_penalty: exclude each other" in refusal(asked)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    asked = request([[1]], 0, beam_width=99, temperature=-1.0, stop_words_list=np.ones(3, int))
    message = refusal(asked)
    for name in ("request_output_len", "beam_width", "temperature", "stop_words_list"):
        assert f"{name}: " in message


def test_padding_may_be_any_token() -> None:
    padded = {
        "input_ids": np.array([[1, 2, 4_000_000_000]], np.uint32),
        "input_lengths": np.array([2]),
        "request_output_len": np.array([1]),
    }
    assert generate(ENGINE, [padded])[0].output_ids.tolist() == [[[1, 2, 3, 9]]]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (2,), (2, 1)])
def test_a_value_a_row_may_come_in_any_of_tritons_shapes(shape: tuple[int, ...]) -> None:
    plan = ENGINE.plan(with_tensor("temperature", np.full(shape, 0.5, np.float32)))
    assert [row.parameters["temperature"] for row in plan.rows] == [0.5, 0.5]


LIMITED = NumpyEngine(
    ScriptedModel(count_up),
    LengthLimits(context_length=12, input_length=8, output_length=6),
)
ONE_LIMIT = NumpyEngine(ScriptedModel(count_up), LengthLimits(context_length=12))


@pytest.mark.parametrize(
    ("engine", "asked", "message"),
    [
        (LIMITED, request([[1] * 9], 1), "input_ids: a prompt of 9 tokens is longer than the 8"),
        (LIMITED, request([[1]], 7), "request_output_len: an answer of 7 tokens is longer than"),
        (LIMITED, request([[1] * 7, [2]], [6, 1]), "are longer than the 12 that the model can see"),
        (LIMITED, request([[1], [2] * 7], [1, 6]), "(row 1)"),
        (
            LIMITED,
            {
                "input_ids": np.zeros((1, 9), np.uint32),
                "input_lengths": np.array([1]),
                "request_output_len": np.array([1]),
            },
            "input_ids: a prompt of 9 tokens is longer than the 8",
        ),
        (ONE_LIMIT, request([[1] * 12], 1), "leaves no room for an answer in the 12"),
    ],
    ids=["prompt", "answer", "both", "row", "padding", "no room"],
)
def test_lengths_beyond_the_models_or_the_services_are_refused_with_the_numbers(
    engine: NumpyEngine, asked: GenerationRequest, message: str
) -> None:
    assert message in refusal(asked, engine)


def test_lengths_may_be_reached() -> None:
    LIMITED.plan(request([[1] * 8], 4))
    LIMITED.plan(request([[1] * 6], 6))
    ONE_LIMIT.plan(request([[1] * 11], 1))
