import pytest

from ft_serving.server.requests.words import Word, decode_words


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
        ([5, 6, 0], [2, 0, 0], "must not decrease, and be padded with -1; got 0 after 2"),
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
