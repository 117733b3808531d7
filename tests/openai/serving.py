"""The server of the OpenAI API, for whatever wants to ask it."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import urllib3

from tests.serving import TINY_GPTJ, free_ports

READY_SECONDS = 60


@contextmanager
def api(
    triton: str,
    model: str,
    folder: Path,
    options: Sequence[str] = (),
    *,
    tokenizer: Path = TINY_GPTJ,
) -> Iterator[tuple[str, psutil.Popen]]:
    """Serve the API in front of a model; give its address and process.

    Args:
        triton: HOST:PORT of the model.
        model: The model's name in requests.
        folder: The log's folder. In the end the log must have nothing but waits.
        options: More of `ft-serving openai`'s options.
        tokenizer: The model's, as `load_tokenizer` takes it.
    """
    [port] = free_ports(1)
    command = [
        *(str(Path(sys.executable).with_name("ft-serving")), "openai"),
        *("--url", f"http://{triton}", "--tokenizer", str(tokenizer)),
        *("--model", model, "--port", str(port), *options),
    ]
    log = folder / f"openai-{port}.err"
    with log.open("w") as output, psutil.Popen(command, stderr=output) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            assert process.wait(60) == 0, log.read_text()
    faults = [line for line in log.read_text().splitlines() if not line.startswith("Waiting for")]
    assert faults == [], "nothing that a client does may be a fault in the log"


def wait_for(url: str, process: psutil.Popen, log: Path) -> None:
    """Wait until an address answers."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            urllib3.request("GET", url, retries=False, timeout=1)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{url} does not answer: {log.read_text()}")
