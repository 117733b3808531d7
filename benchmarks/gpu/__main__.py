"""Run: python -m benchmarks.gpu --work FOLDER --results FILE.json [STEP …].

Needs NVIDIA GPUs, torch, transformers, vLLM and Triton; 60 GB in FOLDER. Each step is a process of
its own, so that none holds memory of the GPU that another needs. By default all steps run, those of
tensor parallelism with as many GPUs as there are.
"""

import argparse
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu.load import Results
from benchmarks.gpu.steps import run_step, steps


def main() -> None:
    """Run the steps that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("steps", nargs="*")
    given = parser.parse_args()
    results = Results(given.results)
    results.add("run", "date", datetime.now(UTC).date().isoformat())
    gpus = _gpus()
    results.add("run", "gpus", gpus)
    results.add("run", "processors", f"{os.cpu_count()} x {platform.machine()}")
    for step in given.steps or steps(len(gpus)):
        begun = time.monotonic()
        process = multiprocessing.get_context("spawn").Process(
            target=run_step, args=(step, given.work, given.results)
        )
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"Error: the step {step} failed with exit code {process.exitcode}")
        results.add("run", f"{step}_s", round(time.monotonic() - begun, 1))


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
