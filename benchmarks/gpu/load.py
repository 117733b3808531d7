"""The questions, and the figures that their answers come to."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_TOKENS = 50_000
PROMPT, ANSWER = 64, 128
"""Tokens of each request, where nothing else is said."""

MIXED, AT_ONCE = 256, 64
"""Requests of mixed lengths, and how many of them, or of equal ones, are asked at once."""

ROUNDS = 3
"""Questions that each client asks, one after another."""

NEVER = 50_399
"""A token of the vocabulary's padding, as the end of a text: each is as long as it may be."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt's token ids, and how many tokens to generate."""

    prompt: tuple[int, ...]
    answer: int


def equal_questions(
    count: int, prompt: int = PROMPT, answer: int = ANSWER, *, seed: int = 1
) -> list[Question]:
    """Return questions with random prompts of one length.

    Each measurement has a seed of its own: an engine that has seen a prompt does not compute it
    again, because vLLM keeps the keys and values of earlier prompts.
    """
    rows = np.random.default_rng(seed).integers(0, _TOKENS, (count, prompt)).tolist()
    return [Question(tuple(row), answer) for row in rows]


def mixed_questions(count: int, *, seed: int) -> list[Question]:
    """Return questions of 16 to 512 tokens with answers of 16 to 256, the same with every seed."""
    generator = np.random.default_rng(2)
    prompts, answers = generator.integers(16, 513, count), generator.integers(16, 257, count)
    generator = np.random.default_rng(seed)
    return [
        Question(tuple(generator.integers(0, _TOKENS, prompt).tolist()), answer)
        for prompt, answer in zip(prompts.tolist(), answers.tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Answered:
    """When a question was asked, and when tokens came, in seconds of the machine's clock."""

    begun: float
    first: float
    ended: float
    tokens: int


def figures(answers: Sequence[Answered]) -> dict[str, float]:
    """Return tokens a second of all answers together, and the median and p99 to the first token."""
    seconds = max(one.ended for one in answers) - min(one.begun for one in answers)
    first = sorted(1000 * (one.first - one.begun) for one in answers)
    per_token = [
        1000 * (one.ended - one.first) / (one.tokens - 1) for one in answers if one.tokens > 1
    ]
    return {
        "tokens_per_second": round(sum(one.tokens for one in answers) / seconds, 1),
        "first_token_ms_p50": round(statistics.median(first), 1),
        "first_token_ms_p99": round(first[int(0.99 * (len(first) - 1))], 1),
        "token_ms_p50": round(statistics.median(per_token), 2) if per_token else 0.0,
    }


class Results:
    """A JSON file of figures, written anew after each, so that an end by force loses none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, part: str, name: str, value: object) -> None:
        """Store a figure, and print it."""
        found: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}
        found.setdefault(part, {})[name] = value
        self._path.write_text(json.dumps(found, indent=2) + "\n")
        print(f"{part}  {name}: {value}", flush=True)
