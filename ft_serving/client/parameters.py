"""Checks the parameters of a generation."""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np

from ft_serving.client.errors import refuse
from ft_serving.core.parameters import PARAMETERS, Parameter, Parameters

DEFAULT_OUTPUT_LENGTH = 64

LARGEST_FP32 = (2 - 2**-23) * 2.0**127
"""The largest finite number of 32 bits, the type in which the server takes numbers."""


def checked(given: Mapping[str, object]) -> Parameters:
    """Return parameters with Python's own types in place of numpy's, once they are checked.

    Raises:
        InvalidRequestError: Some are unknown or out of range; all of them are named.
    """
    given = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in given.items()
    }
    problems: list[str] = []
    for name, value in given.items():
        row = PARAMETERS.get(name)
        if row is None:
            known = ", ".join(PARAMETERS)
            problems.append(f"{name}: no such parameter; there are {known}")
        elif row.is_words:
            problems += _word_problems(name, value)
        elif row.is_flag:
            if not isinstance(value, bool):
                problems.append(f"{name}: must be true or false; got {value!r}")
        else:
            problems += _number_problems(name, row, value)
    if not problems:
        problems += _conflicts(cast("Parameters", given))
    refuse(problems)
    return cast("Parameters", given)


def text_problems(name: str, text: object) -> list[str]:
    """Return why a tokenizer cannot take a text; empty if it can.

    Bytes that are no UTF-8, and half of a pair that JSON escapes, come as surrogates.
    """
    if not isinstance(text, str):
        return [f"{name}: must be a text; got {text!r}"]
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        place = exc.start + 1
        return [f"{name}: must be text that UTF-8 can hold; got {text!r} (character {place})"]
    return []


def _number_problems(name: str, row: Parameter, value: object) -> list[str]:
    numeric = isinstance(value, int if row.is_whole else (int, float))
    if numeric and not isinstance(value, bool):
        number = cast("float", value)
        if row.client_limits.has(number) and abs(number) <= LARGEST_FP32:
            return []
    return [f"{name}: must be {_described(row)}; got {value!r}"]


def _described(row: Parameter) -> str:
    kind = "a whole number" if row.is_whole else "a number"
    limits = row.client_limits
    if math.isfinite(limits.most):
        return f"{kind} from {limits.least} to {limits.most}"
    most = f"at most {LARGEST_FP32:.3g}"
    if math.isfinite(limits.above):
        return f"{kind} above {limits.above}, {most}"
    if math.isfinite(limits.least):
        return f"{kind} of at least {limits.least}, {most}"
    return f"a finite {kind[2:]}, {most} either way"


def _word_problems(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return [f"{name}: must be a list of words; got {value!r}"]
    problems = [problem for word in value for problem in text_problems(name, word)]
    # An empty word ends every text after one token.
    return [f"{name}: a word must not be empty", *problems] if "" in value else problems


def _conflicts(given: Parameters) -> list[str]:
    problems = [
        f"{row.excludes} and {name}: give one of the two"
        for name, row in PARAMETERS.items()
        if name in given and row.excludes in given
    ]
    length = given.get("output_length", DEFAULT_OUTPUT_LENGTH)
    if given.get("min_length", 0) > length:
        problems.append(
            f"min_length: must be at most the output length, {length}; got {given['min_length']}"
        )
    return problems
