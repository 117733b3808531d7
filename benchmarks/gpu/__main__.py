"""Run: python -m benchmarks.gpu --work FOLDER --results FILE.json [STEP …].

Needs NVIDIA GPUs, torch, transformers, vLLM and Triton; 60 GB in FOLDER. Each step is a process of
its own, so that none holds memory of the GPU that another needs. FT_SERVING_TENSOR_PARALLEL says
how many GPUs to use.
"""

import argparse
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu.load import Results
from benchmarks.synthetic import GPT_J_6B
from ft_serving.core.dtypes import Precision
from ft_serving.server.vllm.settings import EngineSettings

STEPS = ("prepare", "transformers", "vllm", "triton", "fp8", "fp8-1024")


def main() -> None:
    """Run the steps that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("steps", nargs="*", default=STEPS)
    given = parser.parse_args()
    results = Results(given.results)
    results.add("run", "date", datetime.now(UTC).date().isoformat())
    results.add("run", "gpus", _gpus())
    results.add("run", "processors", f"{os.cpu_count()} x {platform.machine()}")
    for step in given.steps:
        begun = time.monotonic()
        process = multiprocessing.get_context("spawn").Process(
            target=_step, args=(step, given.work, given.results)
        )
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"Error: the step {step} failed with exit code {process.exitcode}")
        results.add("run", f"{step}_s", round(time.monotonic() - begun, 1))


def _step(step: str, work: Path, path: Path) -> None:
    results = Results(path)
    steps: dict[str, Callable[[], None]] = {
        "prepare": lambda: _prepare(work, results),
        "transformers": lambda: _transformers(work, results),
        "vllm": lambda: _vllm(work, results, "vllm fp16", (1, 8, 64)),
        "fp8": lambda: _vllm(work, results, "vllm fp8", (1, 8, 64), Precision.FP8),
        "fp8-1024": lambda: _vllm(work, results, "vllm fp8 1024", (1024,), Precision.FP8, 1024),
        "triton": lambda: _triton(work, results),
    }
    steps[step]()


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
    settings = replace(settings, precision=precision, batch=batch)
    engine.run(part, _folder(work), settings, batches, results)


def _triton(work: Path, results: Results) -> None:
    from benchmarks.gpu import server

    release = (work / "release").read_text()
    server.run("triton fp16", work / "storage", release, results)


def _gpus() -> list[str]:
    found = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.splitlines()


if __name__ == "__main__":
    main()
