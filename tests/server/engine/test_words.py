import numpy as np

from ft_serving.core.arrays import TokenArray
from ft_serving.server.engine.rules import BadWords
from ft_serving.server.requests.words import StopWords, Word


def text(*tokens: int) -> TokenArray:
    return np.array(tokens, np.uint32)


def forbidden(words: list[Word], *tokens: int) -> list[int]:
    logits = np.zeros(10, np.float32)
    BadWords(words).forbid(logits, text(*tokens))
    return np.flatnonzero(np.isneginf(logits)).tolist()


def test_a_stop_word_must_end_the_text() -> None:
    words = StopWords([(5, 6), (7,)])
    assert words.end(text(1, 5, 6))
    assert words.end(text(7))
    assert not words.end(text(5, 6, 1))
    assert not words.end(text(6)), "a word longer than the text cannot match"
    assert not words.end(text(1, 6))


def test_an_empty_stop_word_ends_every_text() -> None:
    assert StopWords([()]).end(text(3))
    assert StopWords([(5,), ()])
    assert not StopWords([])


def test_a_bad_word_of_one_token_is_always_forbidden() -> None:
    assert forbidden([(3,), (5,)], 1) == [3, 5]


def test_a_longer_bad_word_is_forbidden_at_its_last_token() -> None:
    assert forbidden([(1, 2, 3)], 0, 1, 2) == [3]
    assert forbidden([(1, 2, 3)], 1, 0, 2) == []
    assert forbidden([(1, 2, 3)], 2) == []
    assert forbidden([(2, 3), (2, 4), (5, 2, 6)], 5, 2) == [3, 4, 6]


def test_token_zero_is_never_forbidden() -> None:
    assert forbidden([(0,), (1, 0), (3,)], 1) == [3], "FasterTransformer's check is 0 < token"


def test_an_empty_bad_word_forbids_nothing() -> None:
    assert forbidden([()], 1) == []
    assert not BadWords([()])
