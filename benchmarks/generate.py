"""Measures how fast the CPU engine generates: by itself, through Triton, against Hugging Face's.

Taken in turns within one run, with the same number of threads:

- greedy generation by the engine and by transformers, on the same weights and prompts, with
  batches of 1 and 8, on a family's tiny model and on a random one of about 125 million parameters;
- one request at a time through Triton, against the engine by itself, on the tiny model;
- eight requests at once through Triton, against one at a time.

Run: make benchmark-generate
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Before numpy is imported: its BLAS reads it once.
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(os.cpu_count() or 1))

import numpy as np

from benchmarks.synthetic import FP32, GPT_J_6B, GPT_NEOX_20B, write_checkpoint
from ft_serving.client.client import GenerationClient
from ft_serving.client.measure import measure
from ft_serving.core.terminal import standard_output
from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.weights.prepare import Prepared
from tests.generating import generate
from tests.serving import MODELS, NEVER_GENERATED, served
from tests.weights.world import prepare_folder

THREADS = os.cpu_count() or 1

GPT_J_125M = {**GPT_J_6B, "n_embd": 768, "n_head": 12, "n_layer": 12}

PYTHIA_160M = {
    **GPT_NEOX_20B,
    "hidden_act": "gelu",
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "vocab_size": 50304,
}

LARGER = {"tiny-gptj": GPT_J_125M, "tiny-neox": PYTHIA_160M}
"""The configuration of a larger model of a tiny one's family."""

PROMPT_TOKENS = 16
BATCHES = (1, 8)

Ids = list[list[int]]


def main() -> None:
    """Measure, and print the ratios last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=LARGER, default="tiny-gptj")
    parser.add_argument("--against", choices=["transformers"], help="compare with")
    parser.add_argument("--python", help="interpreter that has torch and transformers")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.against and not options.python:
        parser.error("--against transformers needs --python")
    ratios = {}
    tiny_folder = MODELS / options.model
    with tempfile.TemporaryDirectory() as name:
        storage = Path(name) / "storage"
        tiny = prepare_folder(tiny_folder, storage, **FP32)
        if options.against:
            larger = Path(name) / "larger"
            write_checkpoint(larger, LARGER[options.model])
            models = {options.model: (tiny_folder, 128), "125 M": (larger, 32)}
            for model, (folder, tokens) in models.items():
                engine = open_engine(prepare_folder(folder, storage, **FP32))
                with transformers(options.python, folder) as generate:
                    for batch in BATCHES:
                        pair = against(engine, generate, model, batch, tokens, options.rounds)
                        ratios[f"engine / transformers, {model}, batch {batch}"] = pair
        ratios |= through_triton(tiny, storage, options.rounds)
    print(f"\n{THREADS} threads, medians of {options.rounds} rounds (smallest to largest):")
    for label, values in ratios.items():
        spread = f"({min(values):.2f} to {max(values):.2f})"
        print(f"{label}: {statistics.median(values):.2f} {spread}")


def against(
    engine: NumpyEngine,
    generate: Callable[[Ids, int], tuple[float, Ids]],
    model: str,
    batch: int,
    tokens: int,
    rounds: int,
) -> list[float]:
    """Return the ratios of tokens per second, ours to theirs, round by round."""
    generator = np.random.default_rng(batch)
    prompts = generator.integers(
        2, engine.architecture.vocabulary - 100, (batch, PROMPT_TOKENS)
    ).tolist()
    generate_ours(engine, prompts, tokens)
    generate(prompts, tokens)
    ratios = []
    for _ in range(rounds):
        ours, our_ids = generate_ours(engine, prompts, tokens)
        theirs, their_ids = generate(prompts, tokens)
        # Their layer norm's epsilon is another one, so that a close race of two tokens may differ.
        same = int((np.array(our_ids) == np.array(their_ids)).sum())
        ratios.append(theirs / ours)
        rate = batch * tokens
        print(
            f"{model:10} batch {batch}: engine {rate / ours:8.1f} tokens/s, transformers "
            f"{rate / theirs:8.1f}, {same} of {rate} tokens the same",
            flush=True,
        )
    return ratios


def generate_ours(engine: NumpyEngine, prompts: Ids, tokens: int) -> tuple[float, Ids]:
    """Generate greedily with the engine; return seconds and the generated ids."""
    batch, length = len(prompts), len(prompts[0])
    request = {
        "input_ids": np.array(prompts, np.uint32),
        "input_lengths": np.full(batch, length, np.uint32),
        "request_output_len": np.full(batch, tokens, np.uint32),
        "end_id": np.full(batch, engine.architecture.vocabulary - 1, np.uint32),
    }
    began = time.perf_counter()
    [result] = generate(engine, [request])
    seconds = time.perf_counter() - began
    return seconds, result.output_ids[:, 0, length:].tolist()


@contextmanager
def transformers(python: str, folder: Path) -> Iterator[Callable[[Ids, int], tuple[float, Ids]]]:
    """Start the other side on a checkpoint; give its `generate`."""
    script = Path(__file__).with_name("transformers_generate.py")
    process = subprocess.Popen(
        # Isolated: this folder has a module of the name of Python's own `platform`.
        [python, "-I", script, folder, str(THREADS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    asking, answers = process.stdin, process.stdout
    assert asking
    assert answers

    def generate(input_ids: Ids, tokens: int) -> tuple[float, Ids]:
        asking.write(json.dumps({"input_ids": input_ids, "tokens": tokens}) + "\n")
        asking.flush()
        answer = json.loads(answers.readline())
        return answer["seconds"], answer["output_ids"]

    with process:
        yield generate
        asking.close()


def through_triton(tiny: Prepared, storage: Path, rounds: int) -> dict[str, list[float]]:
    """Compare a served tiny model with the engine, and eight requests at once with one."""
    engine, prompts, tokens = open_engine(tiny), [[690, 513, 260, 331, 448, 15]], 128
    of_engine: list[float] = []
    of_one: list[float] = []
    with (
        served(storage, tiny.manifest.spec.name) as server,
        GenerationClient(f"http://{server.http}", wait_s=0) as client,
    ):

        def rate(concurrency: int, requests: int) -> float:
            level = measure(
                client,
                [tuple(prompt) for prompt in prompts],
                {"output_length": tokens, "end_id": NEVER_GENERATED},
                concurrency=concurrency,
                requests=requests,
                seconds=60,
            )
            assert not level.errors, level.errors
            return level.tokens_per_second

        rate(8, 8)
        for _ in range(rounds):
            engine_rate = statistics.mean(
                tokens / generate_ours(engine, prompts, tokens)[0] for _ in range(10)
            )
            one, eight = rate(1, 10), rate(8, 80)
            of_engine.append(one / engine_rate)
            of_one.append(eight / one)
            print(
                f"tiny model  engine {engine_rate:8.1f} tokens/s, through Triton {one:8.1f}, "
                f"8 at once {eight:8.1f}",
                flush=True,
            )
    return {"Triton / engine, one request at a time": of_engine, "Triton, 8 / 1 at once": of_one}


def open_engine(prepared: Prepared) -> NumpyEngine:
    """Open a release's weights."""
    return NumpyEngine.open(prepared.folder / "fastertransformer" / "1", 1)


if __name__ == "__main__":
    with standard_output():
        main()
