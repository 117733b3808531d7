"""`ft-serving openai` in front of a real tritonserver."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import urllib3

from tests.serving import TINY_GPTJ, Served, free_ports

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
"""Makes a conversation the rhyme that its messages are."""

MODEL = "tiny-gptj"
_READY_S = 60


@pytest.fixture(scope="session")
def address(streaming_server: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the API."""
    folder = tmp_path_factory.mktemp("openai")
    template = folder / "template.jinja"
    template.write_text(TEMPLATE)
    [port] = free_ports(1)
    command = [
        *(str(Path(sys.executable).with_name("ft-serving")), "openai"),
        *("--url", f"http://{streaming_server.http}", "--tokenizer", str(TINY_GPTJ)),
        *("--model", MODEL, "--port", str(port)),
        *("--chat-template", str(template)),
    ]
    log = folder / "log"
    with log.open("w") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            assert process.wait(60) == 0, log.read_text()
    assert log.read_text() == "", "nothing that a client does may be a fault in the log"


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[openai.OpenAI]:
    """The official client."""
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            urllib3.request("GET", url, retries=False, timeout=1)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{url} does not answer: {log.read_text()}")
