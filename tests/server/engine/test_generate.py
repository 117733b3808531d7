"""The tensors that come back, and when; every model here is scripted and ends with token 9."""

import numpy as np
import pytest

from ft_serving.server.engine import TextGenerator
from ft_serving.server.requests import GenerationRequest, GenerationResult
from tests.server.engine.scripted import ScriptedModel, always, count_up, peak, request

NO_WORDS = np.array([[[0], [-1]]], np.int32)


def generate(*requests: GenerationRequest) -> list[GenerationResult]:
    return TextGenerator(ScriptedModel(count_up)).generate(requests)


def test_the_output_is_the_prompt_and_behind_it_the_generated_tokens() -> None:
    result = generate(request([[1, 2, 3]], 4))[0]
    assert result.output_ids.tolist() == [[[1, 2, 3, 4, 5, 6, 7]]]
    assert result.sequence_length.tolist() == [[7]]
    assert result.output_ids.dtype == result.sequence_length.dtype == np.uint32
    assert result.cum_log_probs is None
    assert result.output_log_probs is None
    assert result.is_final


def test_the_end_token_counts_and_fills_the_rest() -> None:
    result = generate(request([[5, 6]], 8))[0]
    assert result.output_ids.tolist() == [[[5, 6, 7, 8, 9, 9, 9, 9, 9, 9]]]
    assert result.sequence_length.tolist() == [[5]], "prompt, 7, 8 and the 9 that ended it"


def test_an_end_token_in_the_prompt_ends_nothing() -> None:
    result = generate(request([[9, 2]], 2))[0]
    assert result.output_ids.tolist() == [[[9, 2, 3, 4]]]


def test_a_request_can_name_its_own_end_token_a_row() -> None:
    result = generate(request([[1], [1]], 4, end_id=[3, 4]))[0]
    assert result.output_ids.tolist() == [[[1, 2, 3, 3, 3]], [[1, 2, 3, 4, 4]]]
    assert result.sequence_length.tolist() == [[3], [4]]


def test_padding_is_removed_but_counted() -> None:
    result = generate(request([[1, 2, 3], [4]], 2))[0]
    assert result.output_ids.tolist() == [[[1, 2, 3, 4, 5]], [[4, 5, 6, 9, 9]]]
    assert result.sequence_length.tolist() == [[5], [5]], "S + generated, whatever the row's prompt"


def test_each_row_generates_exactly_what_it_asks_for() -> None:
    result = generate(request([[1], [1], [1]], [1, 4, 2]))[0]
    assert result.output_ids.tolist() == [[[1, 2, 9, 9, 9]], [[1, 2, 3, 4, 5]], [[1, 2, 3, 9, 9]]]
    assert result.sequence_length.tolist() == [[2], [5], [3]]


def test_without_a_prompt_a_text_starts_from_a_token_that_it_does_not_show() -> None:
    empty = GenerationRequest(
        input_ids=np.empty((2, 0), np.uint32),
        input_lengths=np.array([0, 0]),
        request_output_len=np.array([3, 2]),
    )
    result = generate(empty)[0]
    assert result.output_ids.tolist() == [[[1, 2, 3]], [[1, 2, 9]]], "the model's start id is 0"
    assert result.sequence_length.tolist() == [[3], [2]]
    said = GenerationRequest(
        input_ids=np.empty((1, 0), np.uint32),
        input_lengths=np.array([0]),
        request_output_len=np.array([2]),
        start_id=np.array([5]),
    )
    assert generate(said)[0].output_ids.tolist() == [[[6, 7]]]


def test_a_start_token_is_ignored_where_there_is_a_prompt() -> None:
    result = generate(request([[1]], 2, start_id=5))[0]
    assert result.output_ids.tolist() == [[[1, 2, 3]]]


def test_an_empty_stop_word_ends_a_text_after_one_token() -> None:
    # Users of fastertransformer_backend have met this: stop words [[0],[0]] instead of the
    # [[0],[-1]] that mean none, and sequence_length 9 for a prompt of 8 tokens.
    prompt = [1, 2, 3, 1, 2, 3, 1, 2]
    empty_word = np.array([[[0], [0]]], np.int32)
    result = generate(request([prompt], 20, stop_words_list=empty_word))[0]
    assert result.sequence_length.tolist() == [[9]]
    assert result.output_ids[0, 0].tolist() == [*prompt, 3, *[9] * 19]


def test_a_stop_word_stays_in_the_output_and_counts() -> None:
    words = np.array([[[4, 5, 7], [2, 3, -1]]], np.int32)
    result = generate(request([[1]], 8, stop_words_list=words))[0]
    assert result.output_ids.tolist() == [[[1, 2, 3, 4, 5, 9, 9, 9, 9]]]
    assert result.sequence_length.tolist() == [[5]]


def test_a_stop_word_may_begin_in_the_prompt() -> None:
    words = np.array([[[2, 3], [2, -1]]], np.int32)
    assert generate(request([[1, 2]], 5, stop_words_list=words))[0].sequence_length == 3


def test_a_stop_word_within_the_prompt_ends_nothing() -> None:
    words = np.array([[[1, 2], [2, -1]]], np.int32)
    assert generate(request([[1, 2]], 3, stop_words_list=words))[0].sequence_length == 5


def test_a_stop_word_does_not_match_across_padding() -> None:
    # Row 1 continues 2 by 3; with its padding it would read 2, 0, 3.
    words = np.array([[[2, 3], [2, -1]]], np.int32)
    result = generate(request([[5, 6], [2]], 3, stop_words_list=words))[0]
    assert result.sequence_length.tolist() == [[5], [3]]


def test_stop_words_can_differ_between_rows() -> None:
    words = np.array([[[2], [1]], [[4], [1]]], np.int32)
    result = generate(request([[1], [1]], 6, stop_words_list=words))[0]
    assert result.sequence_length.tolist() == [[2], [4]]


@pytest.mark.parametrize("words", [NO_WORDS, NO_WORDS[0]])
def test_the_list_of_no_words_stops_and_forbids_nothing(words: np.ndarray) -> None:
    result = generate(request([[1]], 3, stop_words_list=words, bad_words_list=words))[0]
    assert result.output_ids.tolist() == [[[1, 2, 3, 4]]]


def test_a_bad_word_is_replaced_by_the_next_best_token() -> None:
    def next_or_five(text: tuple[int, ...]) -> list[float]:
        return [a + b / 2 for a, b in zip(count_up(text), peak(5), strict=True)]

    words = np.array([[[2, 3, 4], [2, 3, -1]]], np.int32)
    engine = TextGenerator(ScriptedModel(next_or_five))
    result = engine.generate([request([[1]], 4, bad_words_list=words)])[0]
    assert result.output_ids.tolist() == [[[1, 2, 5, 6, 7]]], "3 is forbidden behind 2"


def test_the_same_seed_gives_all_rows_the_same_draws() -> None:
    engine = TextGenerator(ScriptedModel(always([0.0] * 9 + [-99.0])))

    def texts(**parameters: object) -> list[list[list[int]]]:
        sampled = request([[1], [1], [1]], 12, runtime_top_k=9, **parameters)
        output: list[list[list[int]]] = engine.generate([sampled])[0].output_ids.tolist()
        return output

    first, second, third = texts()
    assert first == second == third, "no seed is seed 0 for every row"
    assert texts() == texts(random_seed=0) == [first] * 3, "sampling repeats unless told otherwise"
    assert texts(random_seed=5) == [texts(random_seed=5)[0]] * 3
    one, two, three = texts(random_seed=[0, 1, 2])
    assert one == first
    assert len({str(one), str(two), str(three)}) == 3


def test_a_sampled_texts_log_probs_add_up() -> None:
    logits = [0.5, 1.0, 0.0, 2.0, -1.0, 0.3, 0.1, 0.2, -0.4, -99.0]
    engine = TextGenerator(ScriptedModel(always(logits)))
    asked = request([[1]], 20, runtime_top_p=1.0, is_return_log_probs=True, random_seed=3)
    result = engine.generate([asked])[0]
    log_probs = np.array(logits) - np.log(np.exp(logits).sum())
    chosen = log_probs[result.output_ids[0, 0, 1:]]
    assert result.output_log_probs is not None
    assert result.cum_log_probs is not None
    np.testing.assert_allclose(result.output_log_probs[0, 0], chosen, atol=1e-5)
    np.testing.assert_allclose(result.cum_log_probs[0, 0], chosen.sum(), atol=1e-4)


def test_log_probs_behind_a_texts_end_are_zero() -> None:
    result = generate(request([[6]], 6, is_return_log_probs=True, runtime_top_k=2, end_id=8))[0]
    assert result.output_log_probs is not None
    generated = int(result.sequence_length[0, 0]) - 1
    assert result.output_log_probs.shape == (1, 1, 6)
    assert (result.output_log_probs[0, 0, :generated] < 0).all()
    assert (result.output_log_probs[0, 0, generated:] == 0).all()


def test_every_step_is_told_with_all_tensors_and_the_last_one_is_final() -> None:
    told: list[tuple[int, list[int], int, bool]] = []

    def on_step(index: int, partial: GenerationResult) -> None:
        told.append(
            (
                index,
                partial.output_ids[0, 0].tolist(),
                int(partial.sequence_length[0, 0]),
                partial.is_final,
            )
        )

    results = TextGenerator(ScriptedModel(count_up)).generate([request([[1, 2]], 3)], on_step)
    assert told == [
        (0, [1, 2, 3, 9, 9], 3, False),
        (0, [1, 2, 3, 4, 9], 4, False),
        (0, [1, 2, 3, 4, 5], 5, True),
    ], "three tokens, three answers, none of them empty"
    assert results[0].output_ids.tolist() == [[[1, 2, 3, 4, 5]]]


def test_a_request_is_told_of_until_its_longest_row_ends() -> None:
    counts = {0: 0, 1: 0, 2: 0}

    def on_step(index: int, partial: GenerationResult) -> None:
        counts[index] += 1
        assert partial.is_final == (counts[index] == {0: 4, 1: 2, 2: 3}[index])

    asked = [request([[1], [5, 6]], [2, 4], end_id=0), request([[3]], 2), request([[6]], 9)]
    TextGenerator(ScriptedModel(count_up)).generate(asked, on_step)
    assert counts == {0: 4, 1: 2, 2: 3}


def test_partial_results_do_not_change_later() -> None:
    told: list[GenerationResult] = []
    asked = request([[1]], 3, is_return_log_probs=True, runtime_top_k=3)
    TextGenerator(ScriptedModel(count_up)).generate(
        [asked], lambda _, partial: told.append(partial)
    )
    assert told[0].sequence_length.tolist() == [[2]]
    assert told[0].output_log_probs is not None
    assert np.count_nonzero(told[0].output_log_probs) == 1
    assert told[0].output_ids[0, 0, 2:].tolist() == [9, 9]


def test_finished_rows_are_not_computed_any_further() -> None:
    model = ScriptedModel(count_up)
    TextGenerator(model).generate([request([[1], [1], [1]], [1, 3, 2])])
    assert [len(step) for step in model.computed] == [3, 2, 1]


def test_requests_whose_prompts_have_one_length_begin_together() -> None:
    model = ScriptedModel(count_up)
    asked = [request([[1]], 2), request([[4, 5, 6], [7, 8]], 2), request([[3], [2]], 2)]
    results = TextGenerator(model).generate(asked)
    assert [(1,), (3,), (2,)] in model.computed, "they attend in one operation"
    assert results[1].output_ids.tolist() == [[[4, 5, 6, 7, 8]], [[7, 8, 9, 9, 9]]]


def test_the_rows_of_a_request_begin_together_whatever_their_lengths() -> None:
    told: list[list[int]] = []
    TextGenerator(ScriptedModel(count_up)).generate(
        [request([[1], [1, 2, 3]], 3)],
        lambda _, partial: told.append(partial.sequence_length[:, 0].tolist()),
    )
    assert told == [[4, 4], [5, 5], [6, 6]], "a response a token, of all rows"


def test_a_cancelled_request_leaves_the_batch_and_the_others_go_on() -> None:
    model = ScriptedModel(count_up)
    steps = 0

    def on_step(index: int, partial: GenerationResult) -> None:
        nonlocal steps
        steps += index == 1

    results = TextGenerator(model).generate(
        [request([[1]], 5), request([[2]], 7)],
        on_step,
        cancelled=lambda index: index == 1 and steps == 2,
    )
    assert results[0].output_ids.tolist() == [[[1, 2, 3, 4, 5, 6]]]
    assert results[0].is_final
    assert not results[1].is_final
    assert results[1].output_ids.tolist() == [[[2, 3, 4, 9, 9, 9, 9, 9]]]
    assert results[1].sequence_length.tolist() == [[3]]
    assert [len(step) for step in model.computed] == [2, 2, 1, 1, 1]


def test_a_request_cancelled_while_prompts_are_computed_leaves_before_its_first_token() -> None:
    model = ScriptedModel(count_up)
    asked = [0, 0]

    def cancelled(index: int) -> bool:
        asked[index] += 1
        return index == 0 and asked[0] > 1

    steps: list[int] = []
    results = TextGenerator(model).generate(
        [request([[1], [1, 2, 3]], 5), request([[2, 3]], 2)],
        lambda index, _: steps.append(index),
        cancelled,
    )
    assert results[0].sequence_length.tolist() == [[3], [3]], "no token of it is made up"
    assert not results[0].is_final
    assert results[1].output_ids.tolist() == [[[2, 3, 4, 5]]]
    assert steps == [1, 1]
    assert model.computed[1:] == [[(2, 3, 4)]]


def test_a_request_cancelled_before_the_start_is_not_computed_at_all() -> None:
    model = ScriptedModel(count_up)
    result = TextGenerator(model).generate([request([[1]], 5)], cancelled=lambda _: True)[0]
    assert model.computed == []
    assert not result.is_final
    assert result.sequence_length.tolist() == [[1]]


def test_no_requests_give_no_results() -> None:
    assert generate() == []
