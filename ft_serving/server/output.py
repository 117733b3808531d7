"""Reads Triton's output, passes on the lines that matter, and finds the reason of a failure."""

import json
import re
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TextIO

# The prefix of a line: severity, date, time, process, source file and line.
_PREFIX = re.compile(r"(?P<severity>[IWEF])\d{4} [\d:.]+ \d+ [\w.]+:\d+\] +(?P<message>.*)")
_LOAD_FAILURE = re.compile(r"failed to load '[^']*' version \d+: [\w ]+: (?P<reason>.*)", re.DOTALL)
# A failure in Python carries the name of its class in front and a traceback behind.
_TRACEBACK = re.compile(r"\n\nAt:\n.*", re.DOTALL)
_RAISED_ON_PURPOSE = "TritonModelException: "

# Written by every start on a machine without a GPU, and by every stop.
_NOISE = ("CudaDriverHelper has not been initialized", "Signal (15) received")

_KEPT_LINES = 50

# Triton's child, which runs the model, notices within a second or two that its parent is gone.
_LAST_WORDS_SECONDS = 5.0


class ServerOutput:
    """Reads a stream to its end, in a thread of its own.

    Until `pass_on` is called lines are kept back: those that Triton writes while it loads a model
    are of no interest, or `failure` tells them in fewer words.

    Args:
        stream: Triton's stdout and stderr; closed at its end.
        verbose: Whether to pass on everything at once.
    """

    def __init__(self, stream: TextIO, *, verbose: bool) -> None:
        self._stream = stream
        self._verbose = verbose
        self._passes_on = verbose
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._thread = threading.Thread(target=self._read, name="triton-output", daemon=True)
        self._thread.start()

    def pass_on(self) -> None:
        """Write Triton's lines to stderr from now on."""
        self._passes_on = True

    def wait(self) -> None:
        """Wait until Triton, which must have ended, has no more to say."""
        self._thread.join(_LAST_WORDS_SECONDS)

    def failure(self) -> str:
        """Return the reason why Triton, which must have ended, gave up."""
        self.wait()
        lines = [line for line in list(self._lines) if not _is_noise(line)]
        errors = []
        for severity, message in map(_parse, lines):
            load_failure = _LOAD_FAILURE.match(message)
            if load_failure:
                return _TRACEBACK.sub("", load_failure["reason"]).removeprefix(_RAISED_ON_PURPOSE)
            if severity in "EF":
                errors.append(message.removeprefix("error: "))
        return "\n".join(errors or lines) or "it gave no reason"

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                self._lines.append(line.rstrip())
                if self._passes_on and (self._verbose or not _is_noise(line)):
                    sys.stderr.write(line)


def _is_noise(line: str) -> bool:
    return any(noise in line for noise in _NOISE)


def _parse(line: str) -> tuple[str, str]:
    """Return a line's severity, one letter, and its message."""
    match = _PREFIX.fullmatch(line)
    if match is None:
        return ("E" if line.startswith("error: ") else "I"), line
    message = match["message"]
    # Messages are quoted as JSON quotes strings.
    if message.startswith('"'):
        with suppress(ValueError):
            message = str(json.loads(message))
    return match["severity"], message
