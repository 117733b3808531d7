"""What counts as the right answer."""

import pytest

from ft_serving.cluster.errors import ClusterError
from ft_serving.cluster.gate.question import Expectation

PROMPT = "Mary has a little lamb."
TEXT = " Its fleece is white as snow"
TOKENS = (348, 434, 954)


def test_the_golden_text_is_right() -> None:
    Expectation(text=TEXT).check(PROMPT, TEXT, TOKENS)


@pytest.mark.parametrize(
    "answer", ["", TEXT + ".", TEXT[1:], TEXT.upper(), " Its fleece is white as"]
)
def test_any_other_text_is_wrong(answer: str) -> None:
    with pytest.raises(ClusterError) as caught:
        Expectation(text=TEXT).check(PROMPT, answer, TOKENS)
    for shown in (f"Asked:    {PROMPT!r}", f"Expected: {TEXT!r}", f"Got:      {answer!r}"):
        assert shown in str(caught.value)


@pytest.mark.parametrize("tokens", [(), (348, 434), (348, 434, 955), (348, 434, 954, 15)])
def test_other_tokens_are_wrong(tokens: tuple[int, ...]) -> None:
    Expectation(token_ids=[348, 434, 954]).check(PROMPT, TEXT, TOKENS)
    with pytest.raises(ClusterError, match="Expected: the tokens 348,434,954"):
        Expectation(token_ids=[348, 434, 954]).check(PROMPT, TEXT, tokens)


def test_words_are_found_anywhere_and_in_any_case() -> None:
    Expectation(words=["FLEECE", "snow"]).check(PROMPT, TEXT, TOKENS)


def test_words_are_wanted_in_their_order() -> None:
    days = ["Friday", "Saturday", "Sunday"]
    with pytest.raises(ClusterError, match="it lacks 'Sunday' behind 'Saturday'"):
        Expectation(words=days).check("Thursday,", " Sunday, Friday, Saturday", TOKENS)


def test_noise_does_not_have_the_words() -> None:
    with pytest.raises(ClusterError, match="it lacks 'snow' behind 'fleece'") as caught:
        Expectation(words=["fleece", "snow", "school"]).check(PROMPT, " fleece the the oft", TOKENS)
    assert "Expected: a text with 'fleece', then 'snow', then 'school'" in str(caught.value)


def test_text_that_is_no_plain_text_is_shown_escaped() -> None:
    with pytest.raises(ClusterError, match=r"\\x1b"):
        Expectation(words=["snow"]).check(PROMPT, "\x1b[2J", TOKENS)
