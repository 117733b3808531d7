"""Measures the time, memory and disk that the embedded platform takes.

- `up` after `down` with built tools, `up` with nothing to do, and `down`, in turns;
- memory of everything that runs, once it is idle: the sum of proportional set sizes, in which a
  page that several processes share counts once;
- disk of tools and data, and what building each group of tools took;
- with --cold, building all tools into an empty cache, and the most disk that it took.

Deployments on the platform are down for moments, and their memory is measured with its own.

Run: make benchmark-platform
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from ft_serving.core.terminal import standard_output
from ft_serving.core.units import format_bytes, format_duration
from local_platform.settings import DATA, cache
from local_platform.toolchain import KUBERNETES_PLUGIN, BuildRecord, Toolchain, find
from local_platform.toolchain.build import disk_usage
from local_platform.toolchain.groups import GROUPS
from tests.platform import host

WARM_LIMIT_S = 90
COLD_LIMIT_S = 30 * 60
MEMORY_LIMIT = 2 << 30

SETTLE_S = 60
"""From the end of `up` until the platform counts as idle."""


def main() -> None:
    """Measure, and print each figure with its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="build all tools anew, too")
    options = parser.parse_args()
    platform("up")
    lifecycle(options.rounds)
    memory()
    disk()
    builds("built tools, as they were built", find())
    if options.cold:
        cold()


def platform(*arguments: str) -> float:
    """Run a command of the platform; return its seconds."""
    began = time.perf_counter()
    run("local_platform", *arguments)
    return time.perf_counter() - began


def run(module: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run a module of the checkout; exit with its output if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"python -m {module} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def lifecycle(rounds: int) -> None:
    """Take the platform down and up again and again."""
    downs, warm, nothing = [], [], []
    for _ in range(rounds):
        downs.append(platform("down"))
        warm.append(platform("up"))
        nothing.append(platform("up"))
        print(f"down {downs[-1]:.1f} s, up {warm[-1]:.1f} s, again {nothing[-1]:.1f} s", flush=True)
    print(f"\nup after down: {spread(warm)} (limit {WARM_LIMIT_S} s)")
    print(f"up with nothing to do: {spread(nothing)}")
    print(f"down: {spread(downs)}")


def spread(seconds: Sequence[float]) -> str:
    """Return the median, with the smallest and the largest."""
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"


def memory() -> None:
    """Print the memory of the platform's processes, by program."""
    time.sleep(SETTLE_S)
    sizes: Counter[str] = Counter()
    for process in host.node_processes():
        try:
            sizes[process.name()] += proportional_set_size(process.pid)
        except (OSError, psutil.NoSuchProcess):
            continue
    limit = format_bytes(MEMORY_LIMIT)
    print(f"\nidle memory: {format_bytes(sizes.total())} (limit {limit}), of which")
    table([(name, format_bytes(size)) for name, size in sizes.most_common()])


def proportional_set_size(pid: int) -> int:
    """Return bytes of a process's memory, shared pages by their shares; see proc(5)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("Pss:")]
    return int(line.split()[1]) * 1024


def disk() -> None:
    """Print the disk usage of each folder."""
    for root in (cache(), DATA):
        folders = [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]
        sizes = sorted(((disk_usage(path), path.name) for path in folders), reverse=True)
        print(f"\n{root}: {format_bytes(sum(size for size, _ in sizes))}, of which")
        table([(name, format_bytes(size)) for size, name in sizes if size >= 1 << 20])


def builds(title: str, toolchain: Toolchain) -> None:
    """Print the time, disk and Go version of each group's build."""
    records = toolchain.records()
    total = sum(record.seconds for record in records.values())
    print(
        f"\n{title}: {format_duration(total)} with {os.cpu_count()} cores"
        f" (limit {format_duration(COLD_LIMIT_S)}), of which"
    )
    table([(name, *build(record)) for name, record in records.items()])


def build(record: BuildRecord) -> tuple[str, str, str]:
    """Return a row about one group."""
    return f"{record.seconds:.0f} s", format_bytes(record.size), f"Go {record.go}"


def cold() -> None:
    """Build all tools into an empty cache."""
    with tempfile.TemporaryDirectory(dir=cache()) as folder, most_disk(Path(folder)) as most:
        # Go's own caches count: a machine that has none pays for them.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"GOCACHE", "GOMODCACHE"}
        } | {"XDG_CACHE_HOME": folder}
        began = time.perf_counter()
        run("local_platform.toolchain", environment=environment)
        seconds = time.perf_counter() - began
        os.environ["XDG_CACHE_HOME"] = folder
        builds("tools built from nothing", find((*GROUPS, KUBERNETES_PLUGIN)))
        print(
            f"all of it: {format_duration(seconds)}; "
            f"disk at most {format_bytes(most[0])}, {format_bytes(disk_usage(Path(folder)))} stay"
        )


@contextmanager
def most_disk(folder: Path) -> Iterator[list[int]]:
    """Watch the disk that a folder is on; the list holds the most that was added, in bytes."""
    before, most, done = shutil.disk_usage(folder).used, [0], threading.Event()

    def watch() -> None:
        while not done.wait(1):
            most[0] = max(most[0], shutil.disk_usage(folder).used - before)

    thread = threading.Thread(target=watch)
    thread.start()
    yield most
    done.set()
    thread.join()


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns."""
    for row in rows:
        print(f"  {row[0]:28}" + "".join(f"{cell:>12}" for cell in row[1:]))


if __name__ == "__main__":
    with standard_output():
        main()
