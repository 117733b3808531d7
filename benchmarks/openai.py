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
import io
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil

# Before numpy is imported: the engine has one core, and the others what they need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.synthetic import fp32_release, write_checkpoint
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.core.terminal import standard_output
from ft_serving.weights.prepare import prepare
from ft_serving.weights.source import LocalSource
from tests.openai.serving import api
from tests.serving import TINY_GPTJ, served

GPT_J_25M: dict[str, Any] = {
    "architectures": ["GPTJForCausalLM"],
    "model_type": "gptj",
    "activation_function": "gelu_new",
    "n_embd": 512,
    "n_head": 8,
    "n_inner": None,
    "n_layer": 8,
    "n_positions": 512,
    "rotary_dim": 32,
    # tiny-gptj's, whose tokenizer serves for it, too.
    "vocab_size": 1024,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "tie_word_embeddings": False,
}
MODEL = "model"
PROMPT = list(range(300, 364))
LEVELS = ((1, 10), (8, 4), (64, 1))
"""Streams at once, and texts that each asks for, one after the other."""

BEGIN_WITHIN_S = 0.5


@dataclass(frozen=True, kw_only=True)
class RoundOfStreams:
    """A round of streams: its tokens a second, and the median time to the first token."""

    tokens_per_second: float
    first_token_s: float


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        storage = Storage(Path(name) / "storage")
        storage.create()
        larger = Path(name) / "gpt-j-25m"
        write_checkpoint(larger, GPT_J_25M)
        for model, folder, tokens in (("tiny-gptj", TINY_GPTJ, 128), ("25 M", larger, 24)):
            with (
                served(storage.root, convert(folder, storage)) as triton,
                api(triton.http, MODEL, Path(name)) as (address, process),
            ):
                asyncio.run(compare(model, tokens, triton.http, address, process, options.rounds))


async def compare(
    model: str, tokens: int, triton: str, address: str, process: psutil.Process, rounds: int
) -> None:
    """Measure all levels of a served model, and print a line of each."""
    direct, through = f"http://{triton}", f"{address}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        for streams, texts in LEVELS:
            asked = {
                f"{direct}/v2/models/fastertransformer/generate_stream": protocol_body(tokens),
                f"{through}/v1/completions": openai_body(tokens),
            }
            pairs = []
            spent = []
            for number in range(rounds + 1):
                pair = []
                for url, body in asked.items():
                    before = processor_s(process)
                    moments = random.Random(number)
                    pauses = [moments.uniform(0, BEGIN_WITHIN_S) for _ in range(streams)]
                    pair.append(await stream(http, url, body, pauses, texts, tokens))
                    used = (processor_s(process) - before) / (streams * texts * tokens)
                # The first round of a server is slower than all others.
                if number:
                    pairs.append(pair)
                    spent.append(used)
            print(line(model, streams, pairs, spent), flush=True)


async def stream(
    http: aiohttp.ClientSession,
    url: str,
    body: bytes,
    pauses: Sequence[float],
    texts: int,
    tokens: int,
) -> RoundOfStreams:
    """Ask for a stream after each of the pauses, so many times, and read each to its end."""
    firsts = []

    async def ask() -> None:
        begun = time.perf_counter()
        first = None
        content = b""
        async with http.post(url, data=body) as response:
            assert response.status == 200, await response.text()
            async for piece in response.content.iter_any():
                first = first or time.perf_counter() - begun
                content = content[-4096:] + piece
        last = content.removesuffix(b"data: [DONE]\n\n").rpartition(b"data:")[2]
        values = json.loads(last)
        if "usage" in values:
            assert values["usage"]["completion_tokens"] == tokens, values
        else:
            assert values["sequence_length"] == len(PROMPT) + tokens, values
        assert first
        firsts.append(first)

    async def ask_all(pause: float) -> None:
        await asyncio.sleep(pause)
        for _ in range(texts):
            await ask()

    begun = time.perf_counter() + min(pauses)
    await asyncio.gather(*map(ask_all, pauses))
    seconds = time.perf_counter() - begun
    return RoundOfStreams(
        tokens_per_second=len(firsts) * tokens / seconds,
        first_token_s=statistics.median(firsts),
    )


def line(
    model: str, streams: int, pairs: Sequence[Sequence[RoundOfStreams]], spent: Sequence[float]
) -> str:
    """Return the medians of a level's rounds; in each pair the protocol comes first."""
    direct = statistics.median(pair[0].tokens_per_second for pair in pairs)
    through = statistics.median(pair[1].tokens_per_second for pair in pairs)
    ratios = sorted(pair[1].tokens_per_second / pair[0].tokens_per_second for pair in pairs)
    later = statistics.median(pair[1].first_token_s - pair[0].first_token_s for pair in pairs)
    each = statistics.median(spent)
    return (
        f"{model:9} {streams:2} at once: {direct:6.0f} tokens/s directly, {through:6.0f} by the "
        f"API, ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); first "
        f"token {1000 * later:+.1f} ms; {1e6 * each:.0f} us of processor a token"
    )


def processor_s(process: psutil.Process) -> float:
    """Return the processor's time that a process has taken."""
    times = process.cpu_times()
    return times.user + times.system


def protocol_body(tokens: int) -> bytes:
    """Return a request of the inference protocol, with what the API asks Triton for."""
    values = {
        "input_ids": PROMPT,
        "input_lengths": len(PROMPT),
        "request_output_len": tokens,
        "min_length": tokens,
        "runtime_top_k": 1,
        "random_seed": 0,
    }
    return json.dumps(values).encode()


def openai_body(tokens: int) -> bytes:
    """Return the same request of the API."""
    values = {
        "model": MODEL,
        "prompt": PROMPT,
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0,
        "seed": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(values).encode()


def convert(folder: Path, storage: Storage) -> str:
    """Prepare a checkpoint in fp32, to be served token by token; return the release's name."""
    progress = Progress(io.StringIO())
    source = LocalSource(folder, (), progress)
    spec = replace(fp32_release(source), streaming=True)
    return prepare(source, spec, storage, progress).manifest.spec.name


if __name__ == "__main__":
    with standard_output():
        main()
