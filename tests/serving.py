"""A real tritonserver that serves tiny-gptj on this machine, for whatever test wants to ask it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ft_serving.server.process import EXIT_TIMEOUT_SECONDS

MODELS = Path(__file__).parents[1] / "models"
TINY_GPTJ = MODELS / "tiny-gptj"
TINY_NEOX = MODELS / "tiny-neox"
GOLDEN: Mapping[str, Any] = json.loads((TINY_GPTJ / "golden.json").read_text())

NEVER_GENERATED = 1023
"""A token that tiny-gptj never chooses: as `end_id` it makes a text as long as it may be."""

READY_SECONDS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A running server.

    Attributes:
        http: "127.0.0.1:PORT".
        grpc: "127.0.0.1:PORT".
        metrics: "127.0.0.1:PORT".
        process: `ft-serving serve`.
        greeting: The lines that it wrote when it was ready.
        errors: The file that its stderr goes to.
    """

    http: str
    grpc: str
    metrics: str
    process: psutil.Popen
    greeting: tuple[str, ...]
    errors: Path


def prepare(storage: Path, *options: str, model: Path = TINY_GPTJ) -> str:
    """Prepare a model in fp32; return the release's name."""
    done = ft_serving(
        *("weights", "prepare", "--repository", str(model), "--storage", str(storage)),
        *("--dtype", "fp32", *options),
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()).name


def ft_serving(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `ft-serving` to its end."""
    return subprocess.run(
        [_program(), *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def serve_command(storage: Path, release: str, ports: Sequence[int]) -> list[str]:
    """Return the command that serves a release on HTTP, gRPC and metrics ports."""
    http, grpc, metrics = map(str, ports)
    return [
        *(_program(), "serve", "--storage", str(storage), "--release", release),
        *("--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics),
    ]


@contextmanager
def served(
    storage: Path,
    release: str,
    wrapper: Sequence[str] = (),
    options: Sequence[str] = (),
    ports: Sequence[int] = (),
) -> Iterator[Served]:
    """Serve a release until the end of the context; `wrapper` is a command that runs another."""
    http, grpc, metrics = ports = ports or free_ports(3)
    errors = storage / f"serve-{http}.err"
    with errors.open("w") as stderr:
        process = psutil.Popen(
            [*wrapper, *serve_command(storage, release, ports), *options],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            # The files of a server that a test has killed go with the test's folder.
            env={**os.environ, "TMPDIR": str(storage)},
        )
    with process:
        try:
            # Empty where the process ends instead.
            greeting = tuple(process.stdout.readline().rstrip() for _ in range(3))
            assert greeting[0].startswith(f"Serving {release} on"), errors.read_text()
            yield Served(
                http=f"127.0.0.1:{http}",
                grpc=f"127.0.0.1:{grpc}",
                metrics=f"127.0.0.1:{metrics}",
                process=process,
                greeting=greeting,
                errors=errors,
            )
        finally:
            if process.poll() is None:
                process.terminate()
            # A stream cancelled with its last answer keeps Triton 2.51 for all of its timeout.
            process.wait(EXIT_TIMEOUT_SECONDS + READY_SECONDS)


def _program() -> str:
    return str(Path(sys.executable).with_name("ft-serving"))
