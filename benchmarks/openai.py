"""Measures what the OpenAI API costs beside the inference protocol itself.

The same texts are asked of one tritonserver in turns, by streams of the protocol and of the API
before it, by one client and within one run:

- of tiny-gptj, whose engine makes more tokens a second than the rest of this machine can pass on,
  so that the API, Triton and the client compete for its cores;
- of a larger random GPT-J, whose engine takes longest, as a GPU's does.

The streams of a round begin at random moments of half a second, the same ones for both. If they
began at once, the engine for CPUs would compute the protocol's prompts together, in its first step,
and the API's, which come a millisecond apart, in two: the first tokens would tell its steps apart.

Beside tokens a second and the time to the first token it measures the processor's time that the API
takes for a token, requests included.

Run: make benchmark-openai
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

# Before numpy is imported: the engine has one core, and the others what they need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.gpu.load import Question
from benchmarks.synthetic import FP32, GPT_J_6B, write_checkpoint
from ft_serving.core.terminal import standard_output
from tests.openai.serving import api
from tests.serving import TINY_GPTJ, served
from tests.weights.world import prepare_folder

GPT_J_25M = {
    **GPT_J_6B,
    "n_embd": 512,
    "n_head": 8,
    "n_layer": 8,
    "n_positions": 512,
    "rotary_dim": 32,
    # tiny-gptj's, whose tokenizer serves for it, too.
    "vocab_size": 1024,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
MODEL = "model"
PROMPT = tuple(range(300, 364))
LEVELS = ((1, 10), (8, 4), (64, 1))
"""Streams at once, and texts that each asks for, one after the other."""

BEGIN_WITHIN_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """A round's tokens, tokens a second, and median time to the first token."""

    tokens: int
    tokens_per_second: float
    first_token_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The medians of all rounds with so many streams.

    Attributes:
        streams: Streams at once.
        direct: Tokens a second by the protocol.
        through: Tokens a second by the API.
        ratios: The ratio of both in each round, the least first.
        later_s: Seconds that the first token comes later by the API.
        processor_s: Seconds of the processor that the API takes for a token.
    """

    streams: int
    direct: float
    through: float
    ratios: Sequence[float]
    later_s: float
    processor_s: float

    def line(self, model: str) -> str:
        """Return it as a line about a model."""
        return (
            f"{model:9} {self.streams:2} at once: {self.direct:6.0f} tokens/s directly, "
            f"{self.through:6.0f} by the API, ratio {statistics.median(self.ratios):.2f} "
            f"({self.ratios[0]:.2f} to {self.ratios[-1]:.2f}); first token "
            f"{1000 * self.later_s:+.1f} ms; {1e6 * self.processor_s:.0f} us of processor a token"
        )


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        storage = Path(name) / "storage"
        larger = Path(name) / "gpt-j-25m"
        write_checkpoint(larger, GPT_J_25M)
        for model, folder, tokens in (("tiny-gptj", TINY_GPTJ, 128), ("25 M", larger, 24)):
            release = prepare_folder(folder, storage, **FP32, streaming=True).folder.name
            with (
                served(storage, release) as triton,
                api(triton.http, MODEL, Path(name)) as (address, process),
            ):
                for streams, texts in LEVELS:
                    questions = itertools.repeat(Question(PROMPT, tokens))
                    comparison = compare(
                        f"http://{triton.http}",
                        address,
                        process,
                        [questions] * (options.rounds + 1),
                        streams=streams,
                        texts=texts,
                    )
                    print(comparison.line(model), flush=True)


def compare(
    direct: str,
    through: str,
    process: psutil.Process,
    rounds: Iterable[Iterator[Question]],
    *,
    streams: int,
    texts: int,
) -> Comparison:
    """Ask a model by the protocol and by the API in turns.

    Args:
        direct: Triton's address.
        through: The API's address.
        process: The API's process.
        rounds: What is asked in each round, of which the first does not count: the first of a
            server is slower than all others.
        streams: Streams at once.
        texts: Questions that each stream asks, one after the other.
    """
    asked: dict[str, Callable[[Question], bytes]] = {
        f"{direct}/v2/models/fastertransformer/generate_stream": protocol_body,
        f"{through}/v1/completions": openai_body,
    }
    pairs = []
    spent = []
    for number, questions in enumerate(rounds):
        pair = []
        moments = random.Random(number)
        pauses = [moments.uniform(0, BEGIN_WITHIN_S) for _ in range(streams)]
        for url, body in asked.items():
            share = [list(itertools.islice(questions, texts)) for _ in range(streams)]
            before = processor_s(process)
            pair.append(asyncio.run(ask_round(url, body, share, pauses)))
            used = processor_s(process) - before
        if number:
            pairs.append(pair)
            spent.append(used / pair[1].tokens)
    return Comparison(
        streams=streams,
        direct=statistics.median(pair[0].tokens_per_second for pair in pairs),
        through=statistics.median(pair[1].tokens_per_second for pair in pairs),
        ratios=sorted(pair[1].tokens_per_second / pair[0].tokens_per_second for pair in pairs),
        later_s=statistics.median(pair[1].first_token_s - pair[0].first_token_s for pair in pairs),
        processor_s=statistics.median(spent),
    )


async def ask_round(
    url: str,
    body: Callable[[Question], bytes],
    share: Sequence[Sequence[Question]],
    pauses: Sequence[float],
) -> Round:
    """Ask by streams at once, each one question after the other, and read all answers to the end.

    Args:
        url: The address to ask.
        body: Makes the request of a question.
        share: The questions of each stream.
        pauses: Seconds after which each stream begins.
    """
    firsts = []
    tokens = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def ask(question: Question) -> None:
            nonlocal tokens
            content = body(question)
            begun = time.perf_counter()
            first = None
            end = b""
            async with http.post(url, data=content) as response:
                assert response.status == 200, await response.text()
                async for piece in response.content.iter_any():
                    first = first or time.perf_counter() - begun
                    end = end[-4096:] + piece
            last = end.removesuffix(b"data: [DONE]\n\n").rpartition(b"data:")[2]
            values = json.loads(last)
            if "usage" in values:
                generated = values["usage"]["completion_tokens"]
            else:
                generated = values["sequence_length"] - len(question.prompt)
            assert generated == question.answer, values
            assert first
            firsts.append(first)
            tokens += generated

        async def ask_all(questions: Sequence[Question], pause: float) -> None:
            await asyncio.sleep(pause)
            for question in questions:
                await ask(question)

        begun = time.perf_counter() + min(pauses)
        await asyncio.gather(*map(ask_all, share, pauses))
        seconds = time.perf_counter() - begun
    return Round(
        tokens=tokens,
        tokens_per_second=tokens / seconds,
        first_token_s=statistics.median(firsts),
    )


def processor_s(process: psutil.Process) -> float:
    """Return the processor's time that a process has taken."""
    times = process.cpu_times()
    return times.user + times.system


def protocol_body(question: Question) -> bytes:
    """Return a request of the inference protocol, with what the API asks Triton for."""
    values = {
        "input_ids": question.prompt,
        "input_lengths": len(question.prompt),
        "request_output_len": question.answer,
        "min_length": question.answer,
        "runtime_top_k": 1,
        "random_seed": 0,
    }
    return json.dumps(values).encode()


def openai_body(question: Question) -> bytes:
    """Return the same request of the API."""
    values = {
        "model": MODEL,
        "prompt": question.prompt,
        "max_tokens": question.answer,
        "ignore_eos": True,
        "temperature": 0,
        "seed": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(values).encode()


if __name__ == "__main__":
    with standard_output():
        main()
