"""The likeliest token is chosen, or one is drawn as FasterTransformer draws."""

import math
from typing import Any

import numpy as np
import pytest

from ft_serving.server.engine.sampling import Sampler, largest
from tests.server.engine.scripted import row_plan

PROBABILITIES = [0.05, 0.4, 0.1, 0.3, 0.15]
"""By token; descending they are tokens 1, 3, 4, 2, 0."""

LOGITS = np.log(np.array(PROBABILITIES, np.float32))


def sampler_of(*, wants_log_probs: bool = False, **parameters: Any) -> Sampler:
    return Sampler(row_plan(**parameters).parameters, wants_log_probs=wants_log_probs)


def frequencies(draws: int, **parameters: Any) -> list[int]:
    sampler = sampler_of(**{"seed": 7, **parameters})
    chosen = [sampler.choose(LOGITS.copy()) for _ in range(draws)]
    counts: list[int] = np.bincount(chosen, minlength=5).tolist()
    return counts


def assert_distributed(counts: list[int], expected: list[float]) -> None:
    """Pearson's test over the tokens that can occur; the others must not."""
    total, statistic = sum(counts), 0.0
    for count, probability in zip(counts, expected, strict=True):
        if probability == 0:
            assert count == 0
        else:
            statistic += (count - total * probability) ** 2 / (total * probability)
    # 99.9 % of all samples stay below, for one and up to four degrees of freedom.
    limits = {2: 10.83, 3: 13.82, 4: 16.27, 5: 18.47}
    assert statistic < limits[sum(probability > 0 for probability in expected)]


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        # The whole mass of the top k, normalised.
        (3, 0.0, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        (3, 1.0, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        # Of 0.85, the first 60 % = 0.51 can be drawn: of token 3 only 0.11 of its 0.3.
        (3, 0.6, [0, 0.4 / 0.51, 0, 0.11 / 0.51, 0]),
        (1000, 0.0, PROBABILITIES),
        # Of the whole vocabulary, the first 0.8: of token 4 only 0.1 of its 0.15.
        (0, 0.8, [0, 0.4 / 0.8, 0, 0.3 / 0.8, 0.1 / 0.8]),
        (0, 0.41, [0, 0.4 / 0.41, 0, 0.01 / 0.41, 0]),
        (0, 1.5, PROBABILITIES),
    ],
)
def test_draws_follow_the_truncated_distribution(
    top_k: int, top_p: float, expected: list[float]
) -> None:
    assert_distributed(frequencies(4000, top_k=top_k, top_p=top_p), expected)


@pytest.mark.parametrize(
    ("top_k", "top_p"), [(0, 0.0), (1, 0.0), (1, 0.9), (0, 0.4), (0, 0.2), (0, -1.0), (5, 0.3)]
)
def test_the_likeliest_token_is_taken_where_nothing_else_can_be(top_k: int, top_p: float) -> None:
    assert frequencies(100, top_k=top_k, top_p=top_p) == [0, 100, 0, 0, 0]


def test_a_nucleus_wider_than_the_sorted_head_of_the_vocabulary_is_drawn_from() -> None:
    sampler, flat = sampler_of(top_p=0.9), np.zeros(5000, np.float32)
    chosen = [sampler.choose(flat) for _ in range(2000)]
    assert max(chosen) < 4500, "of equals those with the lowest ids come first"
    assert_distributed(np.histogram(chosen, bins=5, range=(0, 4500))[0].tolist(), [0.2] * 5)


def test_top_k_is_capped_at_1024() -> None:
    sampler, flat = sampler_of(top_k=4000), np.zeros(5000, np.float32)
    assert max(sampler.choose(flat) for _ in range(1000)) in range(1000, 1024)


def test_equal_seeds_draw_equally_and_others_do_not() -> None:
    def draw(seed: int) -> list[int]:
        sampler = sampler_of(top_k=5, seed=seed)
        return [sampler.choose(LOGITS.copy()) for _ in range(50)]

    assert draw(0)[:8] == [0, 4, 2, 3, 3, 4, 1, 1], "the same text for years, in any version"
    assert draw(0) == draw(0) != draw(1)
    assert draw(2**64 - 1) == draw(2**64 - 1)


@pytest.mark.parametrize(
    ("decay", "least", "tokens", "found"),
    [
        (0.5, 0.3, (1, 1, 1, 7, 1), [0.9, 0.45, 0.3, 0.3, 0.9]),
        # A value outside its range is replaced.
        (1.5, 0.1, (1, 1), [0.9, 0.9]),
        (0.0, 0.1, (1, 1), [0.9, 0.9]),
        (0.5, 0.0, (1, 1), [0.9, 0.5]),
        (0.5, 1.5, (1, 1), [0.9, 0.5]),
    ],
)
def test_the_top_ps_decay_stops_at_its_least_and_is_undone_by_the_reset_token(
    decay: float, least: float, tokens: tuple[int, ...], found: list[float]
) -> None:
    sampler = sampler_of(top_p=0.9, top_p_decay=decay, top_p_min=least, top_p_reset_ids=7)
    for token, expected in zip(tokens, found, strict=True):
        assert sampler.top_p == pytest.approx(expected)
        certain = np.full(10, -np.inf, np.float32)
        certain[token] = 0
        assert sampler.choose(certain) == token


@pytest.mark.parametrize(
    ("parameters", "mass"),
    [({"top_k": 2}, 0.7), ({"top_p": 0.8}, 1.0), ({}, None)],
    ids=["top k", "top p", "greedy"],
)
def test_log_probs_are_the_share_of_the_vocabulary_and_of_the_top_k(
    parameters: dict[str, Any], mass: float | None
) -> None:
    sampler = sampler_of(wants_log_probs=True, **parameters)
    token = sampler.choose(LOGITS.copy())
    assert sampler.log_prob == pytest.approx(math.log(PROBABILITIES[token]), abs=1e-6)
    share = PROBABILITIES[token] / (mass or PROBABILITIES[token])
    assert sampler.output_log_prob == pytest.approx(math.log(share), abs=1e-6)


@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.0), (4, 0.0), (0, 0.9)])
def test_logits_without_a_choice_give_some_token(value: float, top_k: int, top_p: float) -> None:
    sampler = sampler_of(wants_log_probs=True, top_k=top_k, top_p=top_p)
    assert sampler.choose(np.full(5, value, np.float32)) == 0


def test_the_largest_values_come_descending_and_equals_by_id() -> None:
    values = np.array([1, 3, 2, 3, 2, 0], np.float32)
    assert largest(values, 1).tolist() == [1]
    assert largest(values, 3).tolist() == [1, 3, 2]
    assert largest(values, 6).tolist() == largest(values, 9).tolist() == [1, 3, 2, 4, 0, 5]
