"""When a process dies, all requests end with an error, the server ends, and the GPU is free."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from tritonclient.utils import InferenceServerException

from tests.gpu.conftest import HUGGING_FACE, gpu_memory_in_use
from tests.server.backend.asking import endless, stream
from tests.serving import Served, prepare, served

SLACK_MIB = 1500
"""A GPU may show so much more as used than before the server's start."""


def victim(server: Served, which: str) -> psutil.Process:
    """The process that runs the model for Triton, vLLM's core below it, or a GPU's below that."""
    below = server.process.children(recursive=True)
    stub = next(one for one in below if "python_backend_stub" in " ".join(one.cmdline()[:1]))
    if which == "stub":
        return stub
    core = _largest(stub.children())
    return core if which == "engine core" else _largest(core.children())


def _largest(processes: list[psutil.Process]) -> psutil.Process:
    return max(processes, key=lambda one: one.memory_info().rss)


WHICH = ["engine core", "stub"]
if int(os.environ.get("FT_SERVING_TENSOR_PARALLEL", "1")) > 1:
    WHICH.append("rank")


@pytest.mark.parametrize("which", WHICH)
def test_a_killed_process_ends_requests_and_server_and_leaves_nothing(
    gpu_storage: Path, which: str
) -> None:
    # Servers of other tests may hold some of it.
    before = gpu_memory_in_use()
    with served(gpu_storage, prepare(gpu_storage, *HUGGING_FACE, "--streaming")) as server:
        family = [server.process, *server.process.children(recursive=True)]
        ended: list[object] = []

        def ask() -> None:
            with stream(server.grpc) as one:
                one.send(endless(500))
                try:
                    is_last = False
                    while not is_last:
                        _, _, is_last = one.next()
                    ended.append("answered")
                except InferenceServerException as exc:
                    ended.append(exc)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        victim(server, which).send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join(30)
        assert len(ended) == 8, "no stream hangs"
        assert server.process.wait(60) != 0
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    deadline = time.monotonic() + 60
    while (held := gpu_memory_in_use() - before) > SLACK_MIB:
        assert time.monotonic() < deadline, f"{held} MiB are still held"
        time.sleep(1)
