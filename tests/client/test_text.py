"""Between text and tokens, with tiny-gptj's byte-level tokenizer."""

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from ft_serving.client.text import TextStream, decode, encode_word, end_of_text

TOKENIZER = Tokenizer.from_file(
    str(Path(__file__).parents[2] / "models" / "tiny-gptj" / "tokenizer.json")
)
LAMB = [448]
SHEEP = [174, 255, 240, 241]
"""A sheep's emoji: four bytes, none of them a character."""


def test_a_character_of_several_bytes_comes_only_when_it_is_whole() -> None:
    pieces = TextStream(TOKENIZER)
    assert [pieces.add([token]) for token in [*LAMB, *SHEEP, *LAMB]] == [
        *(" lamb", "", "", "", "\N{SHEEP}", " lamb")
    ]
    assert pieces.end() == ""


def test_what_never_becomes_a_character_comes_at_the_end() -> None:
    pieces = TextStream(TOKENIZER)
    assert [pieces.add([token]) for token in [*LAMB, *SHEEP[:2]]] == [" lamb", "", ""]
    assert pieces.end() == "\N{REPLACEMENT CHARACTER}"


def test_broken_bytes_come_with_the_next_good_ones() -> None:
    pieces = TextStream(TOKENIZER)
    assert pieces.add(SHEEP[:3]) == ""
    assert pieces.add(LAMB) == "\N{REPLACEMENT CHARACTER} lamb"


def test_the_pieces_are_the_text_whatever_the_tokens() -> None:
    choice = random.Random(0)
    for _ in range(200):
        # Bytes above 127 mostly: they break characters in every way there is.
        ids = [
            choice.choice([choice.randrange(98, 260), choice.randrange(1000)]) for _ in range(24)
        ]
        pieces = TextStream(TOKENIZER)
        text = "".join(pieces.add([token]) for token in ids) + pieces.end()
        assert text == decode(TOKENIZER, ids), ids


def test_special_tokens_and_ids_without_text_are_not_in_the_text() -> None:
    assert decode(TOKENIZER, [*LAMB, 1, 0, 1023]) == " lamb"


def test_a_word_is_found_by_itself_and_behind_a_space() -> None:
    assert encode_word(TOKENIZER, "lamb") == [(77, 66, 354), (448,)]


@pytest.mark.parametrize(("word", "ids"), [(" lamb", (448,)), ("\n", (200,))])
def test_a_word_that_begins_with_a_space_is_taken_as_it_is(word: str, ids: tuple[int, ...]) -> None:
    assert encode_word(TOKENIZER, word) == [ids]


def test_the_end_of_text_is_known_by_its_usual_name() -> None:
    assert end_of_text(TOKENIZER) == 1
