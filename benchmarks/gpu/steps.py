"""The steps of the benchmark, each for a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.load import Results
from benchmarks.synthetic import GPT_J_6B
from ft_serving.core.dtypes import Precision
from ft_serving.server.vllm.settings import EngineSettings

STEPS = ("prepare", "transformers", "vllm", "triton", "fp8", "fp8-1024")


def run_step(step: str, work: Path, path: Path) -> None:
    """Run one of `STEPS`, and store its figures in a file."""
    results = Results(path)
    known: dict[str, Callable[[], None]] = {
        "prepare": lambda: _prepare(work, results),
        "transformers": lambda: _transformers(work, results),
        "vllm": lambda: _vllm(work, results, "vllm fp16", (1, 8, 64)),
        "fp8": lambda: _vllm(work, results, "vllm fp8", (1, 8, 64), Precision.FP8),
        "fp8-1024": lambda: _vllm(work, results, "vllm fp8 1024", (1024,), Precision.FP8, 1024),
        "triton": lambda: _triton(work, results),
    }
    known[step]()


def _prepare(work: Path, results: Results) -> None:
    """Make a checkpoint with random values, and a release of it."""
    from benchmarks.gpu.checkpoint import write_random_checkpoint

    work.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    write_random_checkpoint(work / "checkpoint", {**GPT_J_6B, "n_positions": 2048})
    results.add("prepare", "checkpoint_s", round(time.monotonic() - begun, 1))
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "from ft_serving.cli import main; main()", "weights", "prepare",
         "--repository", str(work / "checkpoint"), "--storage", str(work / "storage"),
         "--format", "huggingface", "--dtype", "fp16", "--streaming"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )  # fmt: skip
    results.add("prepare", "release_s", round(time.monotonic() - begun, 1))
    (work / "release").write_text(Path(done.stdout.strip()).name)


def _folder(work: Path) -> Path:
    release = (work / "release").read_text()
    return work / "storage" / "triton-model-store" / release / "fastertransformer" / "1"


def _transformers(work: Path, results: Results) -> None:
    from benchmarks.gpu import reference

    reference.run(work / "checkpoint", results)


def _vllm(
    work: Path,
    results: Results,
    part: str,
    batches: tuple[int, ...],
    precision: Precision = Precision.FP16,
    batch: int = 64,
) -> None:
    from benchmarks.gpu import engine

    settings = EngineSettings.from_environment(os.environ)
    settings = replace(settings, precision=precision, batch=batch, cache_bytes=None)
    engine.run(part, _folder(work), settings, batches, results)


def _triton(work: Path, results: Results) -> None:
    from benchmarks.gpu import server

    release = (work / "release").read_text()
    server.run("triton fp16", work / "storage", release, results)
