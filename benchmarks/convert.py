"""Measures the time and memory in which a checkpoint becomes a release.

Three comparisons, each taken in turns within one run, on a checkpoint with a published model's
tensor shapes and few of its layers:

- conversion fp32 to fp32, hashed and flushed to disk, against a plain copy of the same bytes with
  an fsync;
- downloading and verifying from the hub mirror on this machine, against curl of the same file, and
  against curl and then sha256sum, which ends with as much known;
- preparing a release that is there already, against the limit of two seconds.

Run: make benchmark-convert
"""

import argparse
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from benchmarks.synthetic import FP32, PUBLISHED, with_layers, write_checkpoint
from ft_serving.core.hub.client import Hub
from ft_serving.core.hub.download import download
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.core.terminal import standard_output
from ft_serving.core.units import format_bytes
from ft_serving.core.verify import file_sha256
from ft_serving.weights.prepare import Outcome
from ft_serving.weights.source import LocalSource
from local_platform.hub.server import HubServer
from tests.weights.world import prepare_source

COPY_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The seconds that a function took, and the most anonymous memory that it had."""

    seconds: float
    anonymous: int


def main() -> None:
    """Measure, and print the ratios last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model",
        choices=PUBLISHED,
        default="gptj",
        help="whose shapes to take; default: %(default)s",
    )
    parser.add_argument(
        "--layers",
        type=int,
        default=1,
        help="gptj with one is 2.5 GB, and each more 0.8 GB; neox 4.3 and 1.8 GB",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; must have the room")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        config = with_layers(PUBLISHED[options.model], options.layers)
        measure(Path(name), config, options.rounds)


def measure(root: Path, config: dict[str, Any], rounds: int) -> None:
    """Write a checkpoint below `root`, and take every comparison `rounds` times."""
    model = root / "models" / "synthetic"
    size = write_checkpoint(model, config)
    weights = model / "model.safetensors"
    print(f"checkpoint: {format_bytes(size)}, {config['model_type']}, {rounds} rounds")

    # What is written is deleted at once, and the deletion flushed before the next begins: a file
    # system that tells its disk of freed blocks takes its time over it.
    def copied() -> Measured:
        return cleaned(root / "copy", in_process(copy, weights, root / "copy"))

    def converted() -> Measured:
        return cleaned(root / "storage", in_process(convert, model, root / "storage"))

    def prepared_again() -> Measured:
        return in_process(prepare_again, model, root / "storage")

    copies, conversions = in_turns(rounds, copy=copied, convert=converted)
    in_process(convert, model, root / "storage")
    (again,) = in_turns(rounds, again=prepared_again)
    shutil.rmtree(root / "storage")
    target = root / "downloaded"
    with serving(root / "models") as endpoint:

        def curled() -> Measured:
            return cleaned(target, in_process(curl, endpoint, target))

        def curled_and_hashed() -> Measured:
            return cleaned(target, in_process(curl_and_hash, endpoint, target))

        def downloaded() -> Measured:
            return cleaned(target, in_process(fetch, endpoint, target))

        curls, verified, downloads = in_turns(
            rounds, curl=curled, curl_hash=curled_and_hashed, download=downloaded
        )

    peak = max(m.anonymous for m in conversions)
    slowest = max(m.seconds for m in again)
    print()
    print(f"anonymous memory of a conversion: at most {format_bytes(peak)} (limit 512 MiB)")
    print(f"anonymous memory of a download: {format_bytes(max(m.anonymous for m in downloads))}")
    print(f"preparing a valid release again: at most {slowest:.2f} s (limit 2 s)")
    print(f"conversion / copy with fsync: {ratio(conversions, copies)} (limit 1.5)")
    print(f"download and verify / curl and sha256sum: {ratio(downloads, verified)}")
    print(f"download and verify / curl: {ratio(downloads, curls)} (limit 1.3)")


def in_turns(rounds: int, **functions: Callable[[], Measured]) -> list[list[Measured]]:
    """Run functions A B A B …, print every figure under its name, and return each one's."""
    results: list[list[Measured]] = [[] for _ in functions]
    for _ in range(rounds):
        for (name, function), result in zip(functions.items(), results, strict=True):
            # Otherwise a run would also wait for the writes of the one before.
            os.sync()
            result.append(function())
            print(f"{name:9} {result[-1].seconds:7.2f} s", flush=True)
    return results


def cleaned(target: Path, measured: Measured) -> Measured:
    """Delete what was written, and return what was measured."""
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()
    return measured


def ratio(ours: list[Measured], theirs: list[Measured]) -> str:
    """Return the median of the ratios round by round, with the smallest and the largest."""
    ratios = [a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def in_process(function: Callable[..., float], *arguments: Path | str) -> Measured:
    """Run a function, which returns its seconds, in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, function, arguments).result()


def _measured(function: Callable[..., float], arguments: tuple[Path | str, ...]) -> Measured:
    with anonymous_memory() as peak:
        seconds = function(*arguments)
    return Measured(seconds=seconds, anonymous=peak[0])


@contextmanager
def anonymous_memory() -> Iterator[list[int]]:
    """Watch this process's anonymous memory; the list holds the most seen, in bytes."""
    process, peak, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            memory = process.memory_info()
            peak[0] = max(peak[0], memory.rss - memory.shared)

    thread = threading.Thread(target=watch)
    thread.start()
    yield peak
    done.set()
    thread.join()


def copy(source: Path, target: Path) -> float:
    """Copy a file as a simple program would, through a buffer, and flush it to disk.

    The source has been hashed just before, as for the conversion: both find it in memory, and the
    memory that they write to has been free for as long, which on virtual machines has a price.
    """
    file_sha256(source)
    began = time.perf_counter()
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, COPY_BYTES)
        writing.flush()
        os.fsync(writing.fileno())
    return time.perf_counter() - began


def convert(model: Path, storage_root: Path) -> float:
    """Convert; the time leaves out hashing the source, which a download does on its way."""
    storage = Storage(storage_root)
    storage.create()
    with Progress(Path(os.devnull).open("w")) as progress:
        source = LocalSource(model, (), progress)
        began = time.perf_counter()
        outcome = prepare_source(source, storage, progress, **FP32).outcome
        seconds = time.perf_counter() - began
    assert outcome is Outcome.CONVERTED
    return seconds


def prepare_again(model: Path, storage_root: Path) -> float:
    """Run the command on a release that is valid, with the interpreter's start."""
    began = time.perf_counter()
    arguments: list[str | Path] = ["weights", "prepare", "--dtype", "fp32"]
    arguments += ["--repository", model, "--storage", storage_root]
    program = Path(sys.executable).with_name("ft-serving")
    done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    assert Outcome.FOUND in done.stderr, done.stderr
    return seconds


@contextmanager
def serving(models: Path) -> Iterator[str]:
    """Serve a folder of models from a process of its own; give the endpoint."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sending, models))
    process.start()
    yield receiving.recv()
    process.terminate()
    process.join()


def _serve(pipe: Connection, models: Path) -> None:
    with HubServer(models, host="127.0.0.1", port=0) as hub:
        pipe.send(hub.url)
        threading.Event().wait()


def curl(endpoint: str, target: Path) -> float:
    """Download the weights with curl, unverified."""
    url = f"{endpoint}/synthetic/resolve/main/model.safetensors"
    began = time.perf_counter()
    subprocess.run(["curl", "--silent", "--fail", "--output", target, url], check=True)
    return time.perf_counter() - began


def curl_and_hash(endpoint: str, target: Path) -> float:
    """Download the weights with curl, and compute their sha256 with coreutils."""
    began = time.perf_counter()
    curl(endpoint, target)
    subprocess.run(["sha256sum", target], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def fetch(endpoint: str, target: Path) -> float:
    """Download and verify the weights as `prepare` does, once it has the metadata."""
    hub = Hub(endpoint, None)
    snapshot = hub.snapshot("synthetic", "main")
    began = time.perf_counter()
    with Progress(Path(os.devnull).open("w")) as progress:
        download(hub, snapshot, ["model.safetensors"], target, progress)
    return time.perf_counter() - began


if __name__ == "__main__":
    with standard_output():
        main()
