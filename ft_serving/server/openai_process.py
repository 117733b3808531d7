"""Runs the server of the OpenAI API in front of a Triton on this machine."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ft_serving.server.errors import ServerError
from ft_serving.server.process import ADDRESS, POLL_SECONDS, Ports, answer

_MAIN = "from ft_serving.cli import main; main()"


class OpenAIProcess:
    """Runs `ft-serving openai` until the end of a `with` block.

    Args:
        ports: Its own, and that of Triton's HTTP protocol.
        model: The model's name in requests.
        tokenizer: The folder that has the model's tokenizer.
        stop_all: Called when it ends by itself.

    Raises:
        ServerError: It cannot be started.
    """

    def __init__(
        self, ports: Ports, model: str, tokenizer: Path, stop_all: Callable[[], None]
    ) -> None:
        self._port = ports.openai or 0
        self._is_stopping = False
        self._stop_all = stop_all
        command = [
            # It must not outlive this process, however that ends.
            *("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-c", _MAIN, "openai"),
            *("--url", f"http://{ADDRESS}:{ports.http}", "--tokenizer", str(tokenizer)),
            *("--model", model, "--host", ADDRESS, "--port", str(ports.openai)),
        ]
        try:
            # In a session of its own, because Ctrl-C is meant for this process.
            self._process = subprocess.Popen(command, start_new_session=True)
        except OSError as exc:
            raise ServerError(f"the OpenAI API cannot be started: {exc}") from exc
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._process.wait()

    def wait_until_ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            ServerError: It ended instead.
        """
        while self._process.poll() is None and answer(self._port, "/health") is None:
            time.sleep(POLL_SECONDS)
        self.check()

    def stop(self) -> None:
        """Tell it to end when the requests under way have their answers."""
        self._is_stopping = True
        self._process.terminate()

    def check(self) -> None:
        """Raise `ServerError` if it ended by itself."""
        code = self._process.poll()
        if code is not None and not self._is_stopping:
            raise ServerError(f"the OpenAI API ended by itself, with exit code {code}")

    def _watch(self) -> None:
        self._process.wait()
        if not self._is_stopping:
            self._stop_all()
