"""Beam search against a search of all texts, and FasterTransformer's own ways."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.requests.request import GenerationResult
from tests.generating import generate
from tests.server.engine.scripted import Script, ScriptedModel, always, request

TINY = 4
"""Size of the vocabulary; token 3 ends a text."""

FIRST_IS_ONE = [-99, 1.0, 0.5, -99, 0.0, *[-99] * 5]


def random_script(seed: int, vocabulary: int = TINY) -> Script:
    """Logits that depend on the whole text."""

    def script(text: tuple[int, ...]) -> list[float]:
        generator = np.random.default_rng([seed, *text])
        logits: list[float] = (generator.standard_normal(vocabulary) * 2).tolist()
        return logits

    return script


def log_probs(logits: Sequence[float]) -> list[float]:
    total = math.log(sum(math.exp(logit) for logit in logits))
    return [logit - total for logit in logits]


def search(
    script: Script,
    width: int,
    output_len: int,
    vocabulary: int = TINY,
    prompt: Sequence[int] = (1,),
    **parameters: object,
) -> GenerationResult:
    engine = NumpyEngine(ScriptedModel(script, vocabulary))
    asked = request([prompt], output_len, beam_width=width, is_return_log_probs=True, **parameters)
    return generate(engine, [asked])[0]


def sums(result: GenerationResult) -> list[float]:
    assert result.cum_log_probs is not None
    return [float(one) for one in result.cum_log_probs[0]]


def plain_beam_search(
    script: Script, width: int, output_len: int, end: int
) -> list[tuple[tuple[int, ...], float]]:
    """The textbook's: keep the best `width` of all continuations; ended texts stay as they are."""
    beams: list[tuple[tuple[int, ...], float]] = [((1,), 0.0)]
    for _ in range(output_len):
        candidates = []
        for text, score in beams:
            if len(text) > 1 and text[-1] == end:
                candidates.append((text, score))
                continue
            for token, log_prob in enumerate(log_probs(script(text))):
                candidates.append(((*text, token), score + log_prob))
        beams = sorted(candidates, key=lambda item: -item[1])[:width]
    return beams


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("width", "length", "vocabulary"),
    [(2, 6, 12), (5, 6, 12), (24, 3, TINY)],
    ids=["narrow", "wider", "all texts"],
)
def test_beams_are_the_textbooks_at_every_step(
    seed: int, width: int, length: int, vocabulary: int
) -> None:
    script, end = random_script(seed, vocabulary), min(9, vocabulary - 1)
    told: list[list[list[int]]] = []
    generate(
        NumpyEngine(ScriptedModel(script, vocabulary)),
        [request([[1]], length, beam_width=width)],
        lambda _, part: told.append(part.output_ids[0].tolist()),
    )
    for step, beams in enumerate(told, start=1):
        expected = plain_beam_search(script, width, step, end)
        padded = [[*text, *[end] * (1 + length - len(text))] for text, _ in expected]
        assert beams[: len(padded)] == padded
    result = search(script, width, length, vocabulary)
    assert told[-1] == result.output_ids[0].tolist()
    expected = plain_beam_search(script, width, length, end)
    assert result.sequence_length[0, : len(expected)].tolist() == [len(t) for t, _ in expected]
    np.testing.assert_allclose(sums(result)[: len(expected)], [s for _, s in expected], atol=1e-4)


def test_log_probs_of_a_beam_add_up_along_its_own_text() -> None:
    script = random_script(3, 12)
    result = search(script, 4, 6, 12)
    assert result.output_log_probs is not None
    np.testing.assert_allclose(result.output_log_probs.sum(axis=2)[0], sums(result), atol=1e-5)
    for beam in range(4):
        text = result.output_ids[0, beam, : result.sequence_length[0, beam]].tolist()
        for place in range(1, len(text)):
            expected = log_probs(script(tuple(text[:place])))[text[place]]
            assert result.output_log_probs[0, beam, place - 1] == pytest.approx(expected, abs=1e-5)


def test_a_beam_ended_by_a_stop_word_keeps_its_score() -> None:
    # Tokens 1 and 2 only; 2 stops.
    stop = np.array([[[2], [1]]], np.int32)
    result = search(always([-99, 1.0, 1.5, -99]), 2, 3, stop_words_list=stop)
    first, second = log_probs([-99, 1.0, 1.5, -99])[1:3]
    assert result.output_ids[0].tolist() == [[1, 2, 3, 3], [1, 1, 2, 3]]
    assert result.sequence_length.tolist() == [[2, 3]]
    np.testing.assert_allclose(sums(result), [second, first + second], atol=1e-5)


def test_bad_words_and_penalties_follow_each_beams_own_text() -> None:
    logits = always([0, 1.0, 0.9, -99])
    words = np.array([[[1, 2], [2, -1]]], np.int32)
    for text in search(logits, 2, 3, bad_words_list=words).output_ids[0].tolist():
        assert (1, 2) not in itertools.pairwise(text)
    repeated = search(logits, 2, 3)
    assert (1, 2) in itertools.pairwise(repeated.output_ids[0, 1].tolist())
    penalised = search(logits, 2, 1, repetition_penalty=2.0)
    assert penalised.output_ids[0, :, 1].tolist() == [2, 1], "from the first token on"


def test_the_search_ends_when_all_beams_have() -> None:
    model = ScriptedModel(always([-99, 1.0, -99, 2.0]), TINY)
    result = generate(NumpyEngine(model), [request([[1]], 9, beam_width=2)])[0]
    assert result.output_ids[0].tolist() == [[1, *[3] * 9], [1, 1, *[3] * 8]]
    assert len(model.computed) == 2, "both have ended after two tokens"


def test_the_length_penalty_changes_no_order_without_diversity() -> None:
    # FasterTransformer divides the scores of all candidates by the first beam's length.
    script = random_script(1, 12)
    plain, penalised = search(script, 3, 6, 12), search(script, 3, 6, 12, len_penalty=2.0)
    np.testing.assert_array_equal(plain.output_ids, penalised.output_ids)
    assert sums(plain) == sums(penalised)


@pytest.mark.parametrize(
    ("prompt", "rate", "penalty", "tokens"),
    [
        # Ranks 0, 1 of two beams, then again 0, 1: 1.0, 0.5 + 0.8, 0.0 -> token 2 comes first.
        ([1], 0.8, 0.0, [2, 1]),
        # The prompt's length 1 divides by 1; a padded length of 4 divides by 4² and lets a rate
        # of 0.1 reorder what differs by 0.5.
        ([1], 0.1, 2.0, [1, 2]),
        ([5, 6, 7, 8], 0.1, 2.0, [2, 1]),
    ],
)
def test_diversity_adds_its_rate_times_the_rank_to_scores_divided_by_length(
    prompt: list[int], rate: float, penalty: float, tokens: list[int]
) -> None:
    diverse = {"beam_search_diversity_rate": rate, "len_penalty": penalty}
    result = search(always(FIRST_IS_ONE), 2, 1, 10, prompt, **diverse)
    assert result.output_ids[0, :, len(prompt)].tolist() == tokens
    expected = [log_probs(FIRST_IS_ONE)[token] for token in tokens]
    np.testing.assert_allclose(sums(result), expected, atol=1e-5)


def test_the_length_penalty_counts_one_less_once_the_first_beam_has_ended() -> None:
    # Behind [3] and [1] the candidates are the ended text, -0.31, then [1, 3], -1.63, and, with
    # the rate for its rank, [1, 1], -2.63 + 0.8. Divided by 2² the last would come first.
    result = search(
        always([-99, 1.0, -99, 2.0]), 2, 2, beam_search_diversity_rate=0.8, len_penalty=2.0
    )
    assert result.output_ids[0].tolist() == [[1, 3, 3], [1, 1, 3]]


def test_all_rows_of_a_beam_search_use_the_first_rows_parameters() -> None:
    engine = NumpyEngine(ScriptedModel(random_script(2, 12), 12))
    both = request([[1], [1]], 5, beam_width=3, temperature=[0.5, 3.0])
    second = request([[1]], 5, beam_width=3, temperature=3.0)
    result, other = generate(engine, [both, second])
    np.testing.assert_array_equal(result.output_ids[0], result.output_ids[1])
    assert other.output_ids.tolist() != result.output_ids[:1].tolist()


def test_a_beam_wider_than_the_vocabulary_finds_all_texts() -> None:
    result = search(random_script(0), 64, 2)
    assert result.output_ids.shape == (1, 64, 3)
    assert len({tuple(text) for text in result.output_ids[0].tolist()}) >= 12


@pytest.mark.parametrize("penalty", [1e30, -1e30])
def test_absurd_length_penalties_do_not_fail(penalty: float) -> None:
    result = search(random_script(0, 12), 3, 4, 12, len_penalty=penalty)
    assert result.output_ids.shape == (1, 3, 5)


def test_a_forbidden_token_is_taken_only_where_there_is_no_other() -> None:
    result = search(always([-math.inf, 1.0, -math.inf, -math.inf]), 2, 3)
    assert result.output_ids[0, 0].tolist() == [1, 1, 1, 1]
    words = np.array([[[1, 2, 3], [1, 2, 3]]], np.int32)
    result = search(always([-math.inf, 1.0, 2.0, 3.0]), 2, 3, bad_words_list=words)
    assert result.output_log_probs is not None
    assert not np.isnan(sums(result)).any()
    assert not np.isnan(result.output_log_probs).any()
