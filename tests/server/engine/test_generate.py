"""The tensors that come back, and when; every model here is scripted and ends with token 9."""

import numpy as np
import pytest

from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.requests.request import GenerationRequest, GenerationResult
from tests.generating import generate
from tests.server.engine.scripted import ScriptedModel, always, count_up, peak, request


def stopped(
    prompts: list[list[int]], length: int, *words: list[list[int]], **parameters: object
) -> GenerationRequest:
    return request(prompts, length, stop_words_list=np.array(words, np.int32), **parameters)


def without_prompt(*lengths: int, **parameters: np.ndarray) -> GenerationRequest:
    return {
        "input_ids": np.empty((len(lengths), 0), np.uint32),
        "input_lengths": np.zeros(len(lengths), int),
        "request_output_len": np.array(lengths),
        **parameters,
    }


CASES = {
    "prompt and answer": (request([[1, 2, 3]], 4), [[1, 2, 3, 4, 5, 6, 7]], [7]),
    "the end token counts and fills the rest": (request([[7]], 4), [[7, 8, 9, 9, 9]], [3]),
    "an end token in the prompt": (request([[9, 2]], 2), [[9, 2, 3, 4]], [4]),
    "an end token a row": (
        request([[1], [1]], 4, end_id=[3, 4]),
        [[1, 2, 3, 3, 3], [1, 2, 3, 4, 4]],
        [3, 4],
    ),
    "padding is removed but counted": (
        request([[1, 2, 3], [4]], 2),
        [[1, 2, 3, 4, 5], [4, 5, 6, 9, 9]],
        [5, 5],
    ),
    "a length a row": (request([[1], [1]], [1, 3]), [[1, 2, 9, 9], [1, 2, 3, 4]], [2, 4]),
    "the model's start token": (without_prompt(3, 2), [[1, 2, 3], [1, 2, 9]], [3, 2]),
    "the request's start token": (without_prompt(2, start_id=np.array([5])), [[6, 7]], [2]),
    "a start token beside a prompt": (request([[1]], 2, start_id=5), [[1, 2, 3]], [3]),
    # Users of fastertransformer_backend have met this: [[0],[0]] instead of [[0],[-1]].
    "an empty stop word ends a text after one token": (
        stopped([[1, 2]], 3, [[0], [0]]),
        [[1, 2, 3, 9, 9]],
        [3],
    ),
    "a stop word stays and counts": (
        stopped([[1]], 6, [[4, 5, 7], [2, 3, -1]]),
        [[1, 2, 3, 4, 5, 9, 9]],
        [5],
    ),
    "a stop word may begin in the prompt": (
        stopped([[1, 2]], 3, [[2, 3], [2, -1]]),
        [[1, 2, 3, 9, 9]],
        [3],
    ),
    "a stop word within the prompt ends nothing": (
        stopped([[1, 2]], 2, [[1, 2], [2, -1]]),
        [[1, 2, 3, 4]],
        [4],
    ),
    # With its padding row 1 would read 2, 0, 3.
    "a stop word is matched without padding": (
        stopped([[5, 6], [2]], 2, [[2, 3], [2, -1]]),
        [[5, 6, 7, 8], [2, 3, 9, 9]],
        [4, 3],
    ),
    "stop words a row": (
        stopped([[1], [1]], 4, [[2], [1]], [[4], [1]]),
        [[1, 2, 9, 9, 9], [1, 2, 3, 4, 9]],
        [2, 4],
    ),
    "no words": (
        stopped([[1]], 3, [[0], [-1]], bad_words_list=np.array([[0], [-1]])),
        [[1, 2, 3, 4]],
        [4],
    ),
}


@pytest.mark.parametrize(("asked", "texts", "lengths"), CASES.values(), ids=CASES)
def test_texts_and_lengths_are_fastertransformers(
    asked: GenerationRequest, texts: list[list[int]], lengths: list[int]
) -> None:
    result = generate(NumpyEngine(ScriptedModel(count_up)), [asked])[0]
    assert result.output_ids[:, 0].tolist() == texts
    assert result.sequence_length[:, 0].tolist() == lengths
    assert result.output_ids.dtype == result.sequence_length.dtype == np.uint32
    assert result.cum_log_probs is None
    assert result.output_log_probs is None
    assert result.is_final


def test_a_bad_word_is_replaced_by_the_next_best_token() -> None:
    def next_or_five(text: tuple[int, ...]) -> list[float]:
        return [a + b / 2 for a, b in zip(count_up(text), peak(5), strict=True)]

    asked = request([[1]], 4, bad_words_list=np.array([[2, 3, 4], [2, 3, -1]]))
    result = generate(NumpyEngine(ScriptedModel(next_or_five)), [asked])[0]
    assert result.output_ids.tolist() == [[[1, 2, 5, 6, 7]]], "3 is forbidden behind 2"


def test_the_same_seed_gives_all_rows_the_same_draws() -> None:
    engine = NumpyEngine(ScriptedModel(always([0.0] * 9 + [-99.0])))

    def texts(**parameters: object) -> list[list[list[int]]]:
        sampled = request([[1], [1], [1]], 12, runtime_top_k=9, **parameters)
        output: list[list[list[int]]] = generate(engine, [sampled])[0].output_ids.tolist()
        return output

    first, second, third = texts()
    assert first == second == third, "no seed is seed 0 for every row"
    assert texts() == texts(random_seed=0) == [first] * 3, "sampling repeats unless told otherwise"
    one, two, three = texts(random_seed=[0, 1, 2])
    assert one == first
    assert len({str(one), str(two), str(three)}) == 3


def test_a_sampled_texts_log_probs_add_up_and_are_zero_behind_its_end() -> None:
    logits = [0.5, 1.0, 0.0, 2.0, -1.0, 0.3, 0.1, 0.2, -0.4, -1.0]
    engine = NumpyEngine(ScriptedModel(always(logits)))
    asked = request([[1]], 60, runtime_top_p=1.0, is_return_log_probs=True, random_seed=3)
    result = generate(engine, [asked])[0]
    count = int(result.sequence_length[0, 0]) - 1
    assert count < 60
    log_probs = np.array(logits) - np.log(np.exp(logits).sum())
    chosen = log_probs[result.output_ids[0, 0, 1 : 1 + count]]
    assert result.output_log_probs is not None
    assert result.cum_log_probs is not None
    np.testing.assert_allclose(result.output_log_probs[0, 0, :count], chosen, atol=1e-5)
    assert not result.output_log_probs[0, 0, count:].any()
    np.testing.assert_allclose(result.cum_log_probs[0, 0], chosen.sum(), atol=1e-4)


def test_each_step_is_told_with_tensors_that_do_not_change_later() -> None:
    told: list[tuple[int, GenerationResult]] = []
    asked = [
        request([[1], [5, 6]], [2, 4], end_id=0),
        request([[3]], 2, is_return_log_probs=True, runtime_top_k=1),
    ]
    generate(NumpyEngine(ScriptedModel(count_up)), asked, lambda *step: told.append(step))
    first, second = ([part for index, part in told if index == place] for place in (0, 1))
    assert [part.sequence_length[:, 0].tolist() for part in first] == [
        [3, 3],
        [4, 4],
        [4, 5],
        [4, 6],
    ], "the rows of a request begin together, and it is told of until the longest has ended"
    assert [part.is_final for part in first] == [False, False, False, True]
    assert [part.output_ids[0, 0].tolist() for part in second] == [[3, 4, 9], [3, 4, 5]]
    assert [part.is_final for part in second] == [False, True]
    assert second[0].output_log_probs is not second[1].output_log_probs


def test_finished_rows_are_not_computed_any_further() -> None:
    model = ScriptedModel(count_up)
    generate(NumpyEngine(model), [request([[1], [1], [1]], [1, 3, 2])])
    assert [len(step) for step in model.computed] == [3, 2, 1]


def test_requests_whose_prompts_have_one_length_begin_together() -> None:
    model = ScriptedModel(count_up)
    asked = [request([[1]], 2), request([[4, 5, 6], [7, 8]], 2), request([[3], [2]], 2)]
    results = generate(NumpyEngine(model), asked)
    assert [(1,), (3,), (2,)] in model.computed, "they attend in one operation"
    assert results[1].output_ids.tolist() == [[[4, 5, 6, 7, 8]], [[7, 8, 9, 9, 9]]]


@pytest.mark.parametrize("asked_before", [0, 1], ids=["before its prompt", "during its prompt"])
def test_a_request_cancelled_before_its_first_token_gets_none(asked_before: int) -> None:
    model = ScriptedModel(count_up)
    asked: list[int] = []

    def cancelled(index: int) -> bool:
        asked.append(index)
        return index == 0 and asked.count(0) > asked_before

    steps: list[int] = []
    results = generate(
        NumpyEngine(model),
        [request([[1], [1, 2, 3]], 5), request([[2, 3]], 2)],
        lambda index, _: steps.append(index),
        cancelled,
    )
    assert results[0].sequence_length.tolist() == [[3], [3]], "no token of it is made up"
    assert not results[0].is_final
    assert results[1].output_ids.tolist() == [[[2, 3, 4, 5]]]
    assert steps == [1, 1]
