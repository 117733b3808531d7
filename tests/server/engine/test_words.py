"""Lists of words, and texts that they end or must not have."""

import numpy as np
import pytest

from ft_serving.core.arrays import TokenArray
from ft_serving.server.engine.rules import BadWords
from ft_serving.server.requests.words import StopWords, Word, decode_words


@pytest.mark.parametrize(
    ("ids", "offsets", "words"),
    [
        ([5, 6, 7], [2, 3, -1], ((5, 6), (7,))),
        ([0], [-1], ()),
        ([0], [0], ((),)),
        ([5, 6], [2, 2], ((5, 6), ())),
        ([5, 6, 0, 0], [1, 2, -1, -1], ((5,), (6,))),
        ([], [], ()),
    ],
)
def test_words_are_cut_at_their_ends(
    ids: list[int], offsets: list[int], words: tuple[Word, ...]
) -> None:
    assert decode_words(ids, offsets, 10) == words


@pytest.mark.parametrize(
    ("ids", "offsets", "message"),
    [
        ([5, 6, 7], [2, 1, -1], "must not decrease, and be padded with -1; got 1 after 2"),
        ([5, 6], [3, -1], "must be at most the 2 tokens given; got 3"),
        ([5, 6], [-1, 2], "must be -1 from the first -1 on"),
        ([5, 10], [2, -1], "token ids must be from 0 to 9; got 10"),
        ([5, -1], [2, -1], "token ids must be from 0 to 9; got -1"),
    ],
)
def test_a_list_that_makes_no_words_is_refused(
    ids: list[int], offsets: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        decode_words(ids, offsets, 10)


def text(*tokens: int) -> TokenArray:
    return np.array(tokens, np.uint32)


@pytest.mark.parametrize(
    ("words", "tokens", "ends"),
    [
        ([(5, 6), (7,)], (1, 5, 6), True),
        ([(5, 6), (7,)], (7,), True),
        ([(5, 6), (7,)], (5, 6, 1), False),
        ([(5, 6), (7,)], (6,), False),  # a word longer than the text
        ([(5,), ()], (3,), True),
        ([], (3,), False),
    ],
)
def test_a_stop_word_must_end_the_text(
    words: list[Word], tokens: tuple[int, ...], ends: bool
) -> None:
    assert StopWords(words).end(text(*tokens)) is ends


@pytest.mark.parametrize(
    ("words", "tokens", "forbidden"),
    [
        ([(3,), (5,)], (1,), [3, 5]),
        ([(1, 2, 3)], (0, 1, 2), [3]),
        ([(1, 2, 3)], (1, 0, 2), []),
        ([(1, 2, 3)], (2,), []),
        ([(2, 3), (2, 4), (5, 2, 6)], (5, 2), [3, 4, 6]),
        ([(0,), (1, 0), (3,)], (1,), [3]),  # FasterTransformer's check is 0 < token
        ([()], (1,), []),
    ],
)
def test_a_bad_word_is_forbidden_at_its_last_token(
    words: list[Word], tokens: tuple[int, ...], forbidden: list[int]
) -> None:
    logits = np.zeros(10, np.float32)
    BadWords(words).forbid(logits, text(*tokens))
    assert np.flatnonzero(np.isneginf(logits)).tolist() == forbidden
