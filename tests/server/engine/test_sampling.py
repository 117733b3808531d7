import math

import numpy as np
import pytest

from ft_serving.core.arrays import FloatArray
from ft_serving.server.engine.sampling import Sampler, largest
from tests.server.engine.scripted import row_plan

PROBABILITIES = [0.05, 0.4, 0.1, 0.3, 0.15]
"""By token; descending they are tokens 1, 3, 4, 2, 0."""


def logits() -> FloatArray:
    return np.log(np.array(PROBABILITIES, np.float32))


def frequencies(
    draws: int = 20_000, *, top_k: int = 0, top_p: float = 0.0, seed: int = 7
) -> list[int]:
    row = row_plan(top_k=top_k, top_p=top_p, seed=seed).parameters
    sampler = Sampler(row, wants_log_probs=False)
    chosen = [sampler.choose(logits()) for _ in range(draws)]
    counts: list[int] = np.bincount(chosen, minlength=5).tolist()
    return counts


def chi_square(counts: list[int], expected: list[float]) -> float:
    """Pearson's statistic over the tokens that can occur; the others must not."""
    total = sum(counts)
    statistic = 0.0
    for count, probability in zip(counts, expected, strict=True):
        if probability == 0:
            assert count == 0
        else:
            statistic += (count - total * probability) ** 2 / (total * probability)
    return statistic


# 99.9 % of all samples stay below, for one and up to four degrees of freedom.
LIMIT = {2: 10.83, 3: 13.82, 4: 16.27, 5: 18.47}


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        # The whole mass of the top k, normalised.
        (3, 0.0, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        (3, 1.0, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        # Of 0.85, the first 60 % = 0.51 can be drawn: of token 3 only 0.11 of its 0.3.
        (3, 0.6, [0, 0.4 / 0.51, 0, 0.11 / 0.51, 0]),
        (5, 0.0, PROBABILITIES),
        (1000, 0.0, PROBABILITIES),
        # Of the whole vocabulary, the first 0.8: of token 4 only 0.1 of its 0.15.
        (0, 0.8, [0, 0.4 / 0.8, 0, 0.3 / 0.8, 0.1 / 0.8]),
        (0, 0.41, [0, 0.4 / 0.41, 0, 0.01 / 0.41, 0]),
        (0, 1.0, PROBABILITIES),
        (0, 1.5, PROBABILITIES),
    ],
)
def test_draws_follow_the_truncated_distribution(
    top_k: int, top_p: float, expected: list[float]
) -> None:
    counts = frequencies(top_k=top_k, top_p=top_p)
    possible = sum(probability > 0 for probability in expected)
    assert chi_square(counts, expected) < LIMIT[possible]


@pytest.mark.parametrize(
    ("top_k", "top_p"), [(0, 0.0), (1, 0.0), (1, 0.9), (0, 0.4), (0, 0.2), (0, -1.0), (5, 0.3)]
)
def test_the_likeliest_token_is_taken_where_nothing_else_can_be(top_k: int, top_p: float) -> None:
    assert frequencies(200, top_k=top_k, top_p=top_p) == [0, 200, 0, 0, 0]


def test_a_nucleus_wider_than_the_sorted_head_of_the_vocabulary_is_drawn_from() -> None:
    flat = np.zeros(5000, np.float32)
    sampler = Sampler(row_plan(top_p=0.9).parameters, wants_log_probs=False)
    chosen = [sampler.choose(flat) for _ in range(2000)]
    assert max(chosen) < 4500, "of equals those with the lowest ids come first"
    counts = np.histogram(chosen, bins=5, range=(0, 4500))[0].tolist()
    assert chi_square(counts, [0.2] * 5) < LIMIT[5]


def test_top_k_is_capped_at_1024() -> None:
    flat = np.zeros(5000, np.float32)
    sampler = Sampler(row_plan(top_k=4000).parameters, wants_log_probs=False)
    assert max(sampler.choose(flat) for _ in range(3000)) in range(1000, 1024)


def test_equal_seeds_draw_equally_and_others_do_not() -> None:
    def draw(seed: int) -> list[int]:
        sampler = Sampler(row_plan(top_k=5, seed=seed).parameters, wants_log_probs=False)
        return [sampler.choose(logits()) for _ in range(50)]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    assert draw(2**64 - 1) == draw(2**64 - 1)


def test_of_equal_logits_the_lowest_id_is_taken() -> None:
    sampler = Sampler(row_plan().parameters, wants_log_probs=False)
    assert sampler.choose(np.array([0, 2, 2, 1], np.float32)) == 1


def test_the_top_ps_decay_stops_at_its_least_and_is_undone_by_the_reset_token() -> None:
    plan = row_plan(top_p=0.9, top_p_decay=0.5, top_p_min=0.3, top_p_reset_ids=7)
    sampler = Sampler(plan.parameters, wants_log_probs=False)
    sure = np.full(10, -np.inf, np.float32)
    found = []
    for token in (1, 1, 1, 7, 1):
        found.append(round(sampler.top_p, 6))
        certain = sure.copy()
        certain[token] = 0
        assert sampler.choose(certain) == token
    assert found == [0.9, 0.45, 0.3, 0.3, 0.9]


@pytest.mark.parametrize(
    ("decay", "least", "after"),
    [(1.5, 0.1, 0.9), (0.0, 0.1, 0.9), (0.5, 0.0, 0.5), (0.5, 1.5, 0.5), (1.0, 1e-6, 0.9)],
)
def test_a_decay_or_least_outside_its_range_is_replaced(
    decay: float, least: float, after: float
) -> None:
    plan = row_plan(top_p=0.9, top_p_decay=decay, top_p_min=least)
    sampler = Sampler(plan.parameters, wants_log_probs=False)
    sampler.choose(np.array([0, -50], np.float32))
    assert sampler.top_p == pytest.approx(after)


def test_top_k_log_probs_are_the_share_of_the_vocabulary_and_of_the_top_k() -> None:
    sampler = Sampler(row_plan(top_k=2).parameters, wants_log_probs=True)
    token = sampler.choose(logits())
    assert token in (1, 3)
    assert sampler.log_prob == pytest.approx(math.log(PROBABILITIES[token]), abs=1e-6)
    assert sampler.output_log_prob == pytest.approx(math.log(PROBABILITIES[token] / 0.7), abs=1e-6)


def test_a_greedy_tokens_output_log_prob_is_zero() -> None:
    sampler = Sampler(row_plan().parameters, wants_log_probs=True)
    assert sampler.choose(logits()) == 1
    assert sampler.log_prob == pytest.approx(math.log(0.4), abs=1e-6)
    assert sampler.output_log_prob == 0, "its share of a top 1 is 1"


def test_top_p_log_probs_are_the_share_of_the_vocabulary() -> None:
    sampler = Sampler(row_plan(top_p=0.8).parameters, wants_log_probs=True)
    token = sampler.choose(logits())
    assert sampler.log_prob == pytest.approx(math.log(PROBABILITIES[token]), abs=1e-6)
    assert sampler.output_log_prob == sampler.log_prob


@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.0), (4, 0.0), (0, 0.9)])
def test_logits_without_a_choice_give_some_token(value: float, top_k: int, top_p: float) -> None:
    sampler = Sampler(row_plan(top_k=top_k, top_p=top_p).parameters, wants_log_probs=True)
    assert sampler.choose(np.full(5, value, np.float32)) == 0


def test_the_largest_values_come_descending_and_equals_by_id() -> None:
    values = np.array([1, 3, 2, 3, 2, 0], np.float32)
    assert largest(values, 1).tolist() == [1]
    assert largest(values, 3).tolist() == [1, 3, 2]
    assert largest(values, 6).tolist() == largest(values, 9).tolist() == [1, 3, 2, 4, 0, 5]
