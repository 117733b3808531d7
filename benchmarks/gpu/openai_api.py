"""The OpenAI API before tritonserver with vLLM, beside the inference protocol itself."""

import itertools
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from benchmarks.gpu.load import (
    AT_ONCE,
    MIXED,
    ROUNDS,
    Results,
    equal_questions,
    mixed_questions,
)
from benchmarks.openai import MODEL, compare
from tests.openai.serving import api
from tests.serving import served

STREAMS = (1, 8, AT_ONCE)
VOCABULARY = 50_257
"""Tokens of GPT-J's tokenizer."""

LONGEST_TOKEN = 16
"""The most characters of a token."""


def run(part: str, storage: Path, release: str, results: Results) -> None:
    """Time the API in turns with the protocol."""
    tokenizer = storage / "tokenizer.json"
    write_random_tokenizer(tokenizer)
    loads = [
        (f"{count} streams", count, partial(equal_questions, count * ROUNDS)) for count in STREAMS
    ]
    loads.append(("mixed", AT_ONCE, partial(mixed_questions, MIXED)))
    seeds = itertools.count(4000)
    with (
        served(storage, release) as triton,
        api(triton.http, MODEL, storage, tokenizer=tokenizer) as (address, process),
    ):
        for name, streams, made in loads:
            # Both are asked other questions, in every round.
            rounds = [[*made(seed=next(seeds)), *made(seed=next(seeds))] for _ in range(ROUNDS + 1)]
            comparison = compare(
                f"http://{triton.http}",
                address,
                process,
                map(iter, rounds),
                streams=streams,
                texts=len(rounds[0]) // (2 * streams),
            )
            results.add(part, name, asdict(comparison))


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
