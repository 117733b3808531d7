"""What each parameter does to the choice of the next token, in FasterTransformer's order."""

import math

import numpy as np
import pytest

from ft_serving.core.arrays import FloatArray
from ft_serving.server.engine import TextGenerator
from ft_serving.server.engine.rules import LogitsRules
from ft_serving.server.requests.words import Word
from tests.server.engine.scripted import END, ScriptedModel, always, request, row_plan


def changed(
    logits: list[float],
    text: list[int],
    generated: int = 1,
    *,
    padded_length: int = 4,
    bad_words: tuple[Word, ...] = (),
    **parameters: object,
) -> FloatArray:
    """The logits after the rules, with prompt and text at least two tokens long."""
    array = np.array(logits, np.float32)
    plan = row_plan(padded_length=padded_length, bad_words=bad_words, **parameters)
    LogitsRules(plan, penalty_from=2).apply(array, np.array(text, np.uint32), generated)
    return array


def test_defaults_change_nothing() -> None:
    assert changed([1.5, -2.0, 0.25], [1, 2]).tolist() == [1.5, -2.0, 0.25]


def test_temperature_divides_with_a_millionth_added() -> None:
    np.testing.assert_allclose(changed([1, -2], [0], temperature=2.0), [0.5, -1], rtol=1e-6)
    assert changed([1.0], [0], temperature=0.0)[0] == pytest.approx(1e6), "0 is legal: greedy"


def test_the_repetition_penalty_divides_what_is_positive_and_multiplies_what_is_not() -> None:
    found = changed([4, -4, 0, 4], [0, 1, 2], repetition_penalty=2.0)
    assert found.tolist() == [2, -8, 0, 4]


def test_a_token_is_penalised_once_however_often_it_occurs() -> None:
    assert changed([8, 8], [0, 0, 0], repetition_penalty=2.0).tolist() == [4, 8]
    assert changed([8, 8], [0, 0, 0], presence_penalty=2.0).tolist() == [6, 8]


def test_the_presence_penalty_is_subtracted() -> None:
    assert changed([4, -4, 0], [0, 1], presence_penalty=1.5).tolist() == [2.5, -5.5, 0]


def test_penalties_come_after_the_temperature() -> None:
    found = changed([4, 4], [0], temperature=0.5, presence_penalty=1.0)
    np.testing.assert_allclose(found, [7, 8], rtol=1e-5)


def test_the_first_token_behind_a_prompt_of_one_is_not_penalised() -> None:
    plain = changed([4, 4], [0], 0, padded_length=1, repetition_penalty=2.0)
    assert plain.tolist() == [4, 4], "FasterTransformer skips penalties at step 1"
    longer = changed([4, 4], [0], 0, padded_length=2, repetition_penalty=2.0)
    assert longer.tolist() == [2, 4]


def test_the_end_is_forbidden_up_to_the_minimum_length() -> None:
    lowest = np.finfo(np.float32).min
    logits = [0.0] * END + [5.0]
    for generated, end in [(0, lowest), (2, lowest), (3, 5.0)]:
        found = changed(logits, [1], generated, min_length=3)
        assert found[END] == end
        assert (found[:END] == 0).all()


def test_bad_words_stay_forbidden_at_any_temperature() -> None:
    found = changed([1, 2, 3], [0], bad_words=((2,),), temperature=0.5)
    assert found[2] == -math.inf


def test_a_text_is_at_least_as_long_as_the_minimum() -> None:
    ends = [0.0, 1.0, *[0.0] * 7, 9.0]
    engine = TextGenerator(ScriptedModel(always(ends)))
    result = engine.generate([request([[5], [5], [5]], 6, min_length=[0, 1, 3])])[0]
    assert result.output_ids.tolist() == [
        [[5, 9, 9, 9, 9, 9, 9]],
        [[5, 1, 9, 9, 9, 9, 9]],
        [[5, 1, 1, 1, 9, 9, 9]],
    ]


def test_a_repetition_penalty_makes_a_greedy_text_move_on() -> None:
    engine = TextGenerator(ScriptedModel(always([0.0, 3.0, 2.0, 1.6, *[0.0] * 6])))
    result = engine.generate([request([[1, 5], [1, 5]], 3, repetition_penalty=[1.0, 2.0])])[0]
    assert result.output_ids.tolist() == [[[1, 5, 1, 1, 1]], [[1, 5, 2, 3, 1]]]


def test_padding_is_not_penalised() -> None:
    engine = TextGenerator(ScriptedModel(always([3.0, 2.0, *[0.0] * 8])))
    result = engine.generate([request([[5, 6, 7], [5]], 1, repetition_penalty=2.0)])[0]
    assert result.output_ids[:, 0].tolist() == [[5, 6, 7, 0], [5, 0, 9, 9]]


def test_parameters_hold_for_their_own_row() -> None:
    engine = TextGenerator(ScriptedModel(always([0.0, 1.0, 0.5, *[-9.0] * 7])))
    asked = request(
        [[1]] * 4,
        30,
        runtime_top_k=[0, 3, 0, 2],
        runtime_top_p=[0.0, 0.0, 0.9, 0.0],
        temperature=[1.0, 1.0, 2.0, 0.0],
        random_seed=[1, 2, 3, 4],
    )
    texts = engine.generate([asked])[0].output_ids[:, 0, 1:]
    assert set(texts[0].tolist()) == {1}, "greedy"
    assert set(texts[1].tolist()) == {0, 1, 2}
    assert set(texts[2].tolist()) == {0, 1, 2}
    assert set(texts[3].tolist()) == {1}, "temperature 0 leaves one token, whatever the top k"
