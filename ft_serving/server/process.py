"""Runs a tritonserver that serves one release, and checks the ports that it listens on."""

import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from ft_serving.core.protocol import RUNNING_METRIC
from ft_serving.server.errors import ServerError
from ft_serving.server.installation import Installation, lay_out_backends
from ft_serving.server.output import ServerOutput

ADDRESS = "127.0.0.1"
"""Triton serves this machine only, because it asks nobody who they are."""

EXIT_TIMEOUT_SECONDS = 60
"""Requests under way may take so long once the server was told to stop."""

POLL_SECONDS = 0.1

# Longer than an answer is on its way to a client.
_IDLE_SECONDS = 1.0

# Metrics: requests that wait for the backend, and that it computes.
_UNDER_WAY = ("nv_inference_pending_request_count", RUNNING_METRIC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """A port for each of Triton's services, and one for the OpenAI API where that is served."""

    http: int
    grpc: int
    metrics: int
    openai: int | None = None

    def check(self) -> None:
        """Raise `ServerError` unless all of them are free; each that is not is named."""
        problems = []
        with ExitStack() as held:
            for field in fields(self):
                port = getattr(self, field.name)
                if port is None:
                    continue
                listener = held.enter_context(socket.socket())
                # As Triton does it: a port that has just been closed may be listened on again.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    listener.bind((ADDRESS, port))
                    listener.listen()
                except OSError as exc:
                    option = f"--{field.name}-port"
                    problems.append(f"{port}: {exc.strerror}; name another with {option}")
        if problems:
            raise ServerError("\n  ".join(["cannot listen on a port:", *problems]))


class TritonProcess:
    """Runs Triton until the end of a `with` block.

    Args:
        release: The release's folder, a Triton model repository.
        ports: Must be free.
        installation: The Triton to run.
        verbose: Whether to pass on all that Triton writes.

    Raises:
        ServerError: It cannot be started.
    """

    def __init__(
        self, release: Path, ports: Ports, installation: Installation, *, verbose: bool
    ) -> None:
        self._ports = ports
        self._is_stopping = False
        self._was_idle = False
        self._shared_memory: set[Path] = set()
        self._backends = tempfile.TemporaryDirectory(prefix="ft-serving-")
        reader, writer = os.pipe()
        self._output = ServerOutput(os.fdopen(reader, errors="replace"), verbose=verbose)
        try:
            lay_out_backends(installation, Path(self._backends.name))
            self._process = subprocess.Popen(
                _command(release, ports, installation, self._backends.name, verbose=verbose),
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=subprocess.STDOUT,
                env=_environment(installation, os.environ),
                # Ctrl-C is meant for this process, which lets requests finish.
                start_new_session=True,
            )
        except OSError as exc:
            self._backends.cleanup()
            raise ServerError(f"tritonserver cannot be started: {exc}") from exc
        finally:
            os.close(writer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._reap()
        self._output.wait()
        self._backends.cleanup()

    def wait_until_ready(self) -> bool:
        """Wait until the model is loaded; return whether it is, or `stop` came first.

        Raises:
            ServerError: It ended instead.
        """
        while self._process.poll() is None:
            if answer(self._ports.http, "/v2/health/ready") is not None:
                self._shared_memory = _shared_memory(self._process.pid)
                self._output.pass_on()
                return True
            time.sleep(POLL_SECONDS)
        self._reap()
        self._judge_end()
        return False

    def wait(self) -> None:
        """Wait until it has ended because of `stop`.

        Raises:
            ServerError: It ended by itself, or with requests unanswered.
        """
        self._reap()
        self._judge_end()

    def stop(self) -> None:
        """Tell it to end when all requests under way have their answers; at once if told again."""
        if self._is_stopping:
            self._process.kill()
        else:
            self._process.terminate()
            threading.Thread(target=self._end_when_idle, daemon=True).start()
        self._is_stopping = True

    def _end_when_idle(self) -> None:
        """Kill Triton once it waits only for clients to close their connections.

        It would wait for them until its time is up, and then fail. Without connections it soon
        answers no questions any more, and ends by itself.
        """
        idle_since = None
        while self._process.returncode is None:
            if not self._is_idle():
                idle_since = None
            elif idle_since is None:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _IDLE_SECONDS:
                self._was_idle = True
                self._process.kill()
                return
            time.sleep(POLL_SECONDS)

    def _reap(self) -> None:
        """Wait for the server's end; then end what runs its model, and delete what both shared."""
        self._process.wait()
        # In the middle of a text it would wait for the server's reply for ever.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for file in self._shared_memory:
            file.unlink(missing_ok=True)

    def _judge_end(self) -> None:
        code = self._process.returncode
        if self._is_stopping and (self._was_idle or code in (0, -signal.SIGTERM)):
            return
        if self._is_stopping and code == -signal.SIGKILL:
            raise ServerError("Triton was killed; requests under way have no answer")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        raise ServerError(f"Triton ended {how}: {self._output.failure()}")

    def _is_idle(self) -> bool:
        metrics = answer(self._ports.metrics, "/metrics") or ""
        counts = [re.findall(rf"^{name}{{.*}} (.+)$", metrics, re.M) for name in _UNDER_WAY]
        return all(counts) and not any(float(count) for found in counts for count in found)


def answer(port: int, path: str) -> str | None:
    """Return Triton's answer to a GET, or None if there is none or it is an error."""
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=1)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.read().decode() if response.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _shared_memory(group: int) -> set[Path]:
    """Return the files in /dev/shm that a group of processes has, and leaves there when killed.

    These are Triton's, and those between vLLM's processes, which Python names.
    """
    found: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if os.getpgid(int(maps.parent.name)) == group:
                text = maps.read_text(encoding="utf-8")
                found.update(re.findall(r" (/dev/shm/(?:triton|psm_)\S+)$", text, re.M))
    return {Path(path) for path in found}


def _command(
    release: Path, ports: Ports, installation: Installation, backends: str, *, verbose: bool
) -> list[str]:
    return [
        # Triton must not outlive this process, however that ends.
        *("setpriv", "--pdeathsig", "TERM", "--"),
        str(installation.binary),
        f"--model-repository={release}",
        f"--backend-directory={backends}",
        # The configuration is complete; to complete it, Triton would load the backend twice.
        "--disable-auto-complete-config",
        f"--http-address={ADDRESS}",
        f"--http-port={ports.http}",
        f"--grpc-address={ADDRESS}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={ADDRESS}",
        f"--metrics-port={ports.metrics}",
        "--allow-gpu-metrics=false",
        # No memory to exchange with GPUs.
        "--pinned-memory-pool-byte-size=0",
        *_restrictions(),
        f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
        f"--log-info={str(verbose).lower()}",
    ]


def _restrictions() -> list[str]:
    """Close the protocol by which a client names memory of this machine for Triton to use.

    Triton admits clients that send the value as a header. Nobody who reads it among the arguments
    of processes can: it ends with a line feed, which no header may have.
    """
    value = f"{secrets.token_hex(16)}\n"
    return [
        f"--http-restricted-api=shared-memory:restricted={value}",
        f"--grpc-restricted-protocol=shared-memory:restricted={value}",
    ]


def _environment(installation: Installation, environment: Mapping[str, str]) -> dict[str, str]:
    libraries = [*map(str, installation.libraries), environment.get("LD_LIBRARY_PATH", "")]
    # The stub's interpreter ignores PYTHONPATH and takes its packages from the first `python3` of
    # PATH, virtual environments included.
    path = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    return {
        **environment,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "PATH": os.pathsep.join(path),
    }
