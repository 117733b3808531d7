"""What a user can ask of a generation, and which values make sense."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, cast

import numpy as np

from ft_serving.client.errors import RequestError

DEFAULT_OUTPUT_LENGTH = 64

LARGEST_FP32 = (2 - 2**-23) * 2.0**127
"""The largest number of the type that the model takes numbers as; beyond lies infinity."""


class Parameters(TypedDict, total=False):
    """Parameters of a generation; the server's default holds for each one left out.

    Attributes:
        output_length: Most tokens to generate, within what the server's model allows; 64 if left
            out, or what it allows where that is less.
        top_k: Draw from so many of the likeliest tokens; 0 means no such limit.
        top_p: Draw from the likeliest tokens of so much probability together; 0 means no such
            limit. With neither the likeliest token is taken.
        temperature: Divides the logits: below 1 bolder, above 1 more varied.
        repetition_penalty: Factor against tokens that the text already has; 1 is none.
        presence_penalty: Subtracted from the logits of tokens that the text already has; not
            together with `repetition_penalty`.
        min_length: Tokens before which the text may not end.
        seed: Of the draws. The same for every prompt of a batch; the server's is 0, so that the
            same request gives the same text.
        beam_width: 1 samples, more search with so many beams.
        len_penalty: Beam search divides scores by length to this power.
        beam_search_diversity_rate: Beam search adds this times a candidate's rank to its score.
        stop: Words that end a text, of which they stay a part.
        bad: Words that must not be generated.
        log_probs: Whether to return log probabilities.
        end_id: Token that ends a text; the model's by default.
    """

    output_length: int
    top_k: int
    top_p: float
    temperature: float
    repetition_penalty: float
    presence_penalty: float
    min_length: int
    seed: int
    beam_width: int
    len_penalty: float
    beam_search_diversity_rate: float
    stop: list[str]
    bad: list[str]
    log_probs: bool
    end_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number's tensor and range.

    Attributes:
        tensor: The model's input that it goes to.
        low: Least value.
        high: Largest value.
        whole: Whether it must be a whole number.
    """

    tensor: str
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False


# The limits are FasterTransformer's: it cuts larger top k off, and has no kernel for more beams.
NUMBERS = {
    "output_length": Number(tensor="request_output_len", low=1, high=2**31 - 1, whole=True),
    "top_k": Number(tensor="runtime_top_k", low=0, high=1024, whole=True),
    "top_p": Number(tensor="runtime_top_p", low=0, high=1),
    "temperature": Number(tensor="temperature", low=0),
    "repetition_penalty": Number(tensor="repetition_penalty", low=math.ulp(0)),
    "presence_penalty": Number(tensor="presence_penalty"),
    "min_length": Number(tensor="min_length", low=0, high=2**31 - 1, whole=True),
    "seed": Number(tensor="random_seed", low=0, high=2**64 - 1, whole=True),
    "beam_width": Number(tensor="beam_width", low=1, high=64, whole=True),
    "len_penalty": Number(tensor="len_penalty"),
    "beam_search_diversity_rate": Number(tensor="beam_search_diversity_rate"),
    "end_id": Number(tensor="end_id", low=0, high=2**31 - 1, whole=True),
}
WORDS = {"stop": "stop_words_list", "bad": "bad_words_list"}
LOG_PROBS_TENSOR = "is_return_log_probs"


def checked(given: Mapping[str, object]) -> Parameters:
    """Check parameters from wherever they come, and return them with Python's own types.

    Raises:
        RequestError: Some are unknown or make no sense; all of them are named.
    """
    given = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in given.items()
    }
    problems: list[str] = []
    for name, value in given.items():
        if name in NUMBERS:
            problems += _number_problems(name, NUMBERS[name], value)
        elif name in WORDS:
            problems += _word_problems(name, value)
        elif name == "log_probs":
            if not isinstance(value, bool):
                problems.append(f"log_probs: must be true or false; got {value!r}")
        else:
            known = ", ".join([*NUMBERS, *WORDS, "log_probs"])
            problems.append(f"{name}: no such parameter; there are {known}")
    if not problems:
        problems += _conflicts(cast("Parameters", given))
    if problems:
        raise RequestError("\n  ".join(["The request cannot be sent:", *problems]))
    return cast("Parameters", given)


def text_problem(name: str, text: object) -> str | None:
    """Say what is wrong with what a tokenizer cannot take, or None.

    Bytes that are no UTF-8, and half of a pair that JSON escapes, come as surrogates.
    """
    if not isinstance(text, str):
        return f"{name}: must be a text; got {text!r}"
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        place = exc.start + 1
        return f"{name}: must be text that UTF-8 can hold; got {text!r} (character {place})"
    return None


def _number_problems(name: str, rule: Number, value: object) -> list[str]:
    numeric = isinstance(value, int if rule.whole else (int, float))
    if numeric and not isinstance(value, bool):
        number = cast("float", value)
        if rule.low <= number <= rule.high and abs(number) <= LARGEST_FP32:
            return []
    return [f"{name}: must be {_described(rule)}; got {value!r}"]


def _described(rule: Number) -> str:
    kind = "a whole number" if rule.whole else "a number"
    if math.isfinite(rule.high):
        return f"{kind} from {rule.low} to {rule.high}"
    most = f"at most {LARGEST_FP32:.3g}"
    if rule.low == math.ulp(0):
        return f"{kind} above 0, {most}"
    if math.isfinite(rule.low):
        return f"{kind} of at least {rule.low}, {most}"
    return f"a finite {kind[2:]}, {most} either way"


def _word_problems(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return [f"{name}: must be a list of words; got {value!r}"]
    problems = [problem for word in value if (problem := text_problem(name, word))]
    # An empty word ends every text after one token.
    return [f"{name}: a word must not be empty", *problems] if "" in value else problems


def _conflicts(given: Parameters) -> list[str]:
    problems = []
    if "repetition_penalty" in given and "presence_penalty" in given:
        problems.append("repetition_penalty and presence_penalty: give one of the two")
    length = given.get("output_length", DEFAULT_OUTPUT_LENGTH)
    if given.get("min_length", 0) > length:
        problems.append(
            f"min_length: must be at most the output length, {length}; got {given['min_length']}"
        )
    return problems
