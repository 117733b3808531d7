"""The OpenAI API before tritonserver with vLLM, beside the inference protocol itself."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from benchmarks.gpu.load import ANSWER, ROUNDS, Results, equal_questions
from benchmarks.openai import MODEL, PROMPT_LENGTH, compare
from tests.openai.serving import api
from tests.serving import served

STREAMS = (1, 8, 64)
VOCABULARY = 50_257
"""Tokens of GPT-J's tokenizer."""

LONGEST_TOKEN = 16
"""The most characters of a token."""


def run(part: str, storage: Path, release: str, results: Results) -> None:
    """Time the API in turns with the protocol."""
    tokenizer = storage / "tokenizer.json"
    write_random_tokenizer(tokenizer)
    prompts = _prompts()
    with (
        served(storage, release) as triton,
        api(triton.http, MODEL, storage, tokenizer=tokenizer) as (address, process),
    ):
        for streams in STREAMS:
            level = compare(
                f"http://{triton.http}",
                address,
                process,
                prompts,
                streams=streams,
                texts=ROUNDS,
                tokens=ANSWER,
                rounds=3,
            )
            results.add(part, f"{streams} streams", asdict(level))


def write_random_tokenizer(file: Path) -> None:
    """Write a byte-level BPE tokenizer with as many tokens as GPT-J's.

    Its tokens are random pairs of others, down to ASCII characters, so that each is readable.
    """
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [character for character in alphabet if character.isascii()]
    others = [character for character in alphabet if not character.isascii()]
    seen = set(tokens)
    merges = []
    generator = np.random.default_rng(0)
    while len(tokens) + len(others) < VOCABULARY:
        # Squares of what lies between 0 and 1 prefer short tokens, of which texts have most.
        left, right = (tokens[int(place * len(tokens))] for place in generator.random(2) ** 2)
        both = left + right
        if both not in seen and len(both) <= LONGEST_TOKEN:
            seen.add(both)
            tokens.append(both)
            merges.append((left, right))
    tokens += others
    made = Tokenizer(BPE({token: place for place, token in enumerate(tokens)}, merges))
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.save(str(file))


def _prompts() -> Iterator[Sequence[int]]:
    """Yield prompts without end, each another."""
    for seed in itertools.count(4000):
        for question in equal_questions(64, PROMPT_LENGTH, seed=seed):
            yield question.prompt
