"""Reads the bytes of one remote file from any position on, over as many connections as it takes."""

from collections.abc import Callable
from typing import Self

import urllib3
from urllib3.exceptions import HTTPError

from ft_serving.core.hub.retry import Backoff, TransientError
from ft_serving.core.hub.transport import OTHER_ENDPOINT, reason

# Larger reads fall out of the processor's cache before they are written, smaller ones cost calls.
READ_BYTES = 512 << 10

Open = Callable[[int, int], tuple[urllib3.BaseHTTPResponse, str]]
"""Asks for the bytes from one offset up to another; see `ft_serving.core.hub.client.Hub.open`."""


class Stream:
    """Reads a file's bytes in order, and reconnects at the byte reached.

    Attributes:
        position: The offset of the next byte.
        ranged: False once the server was seen sending the whole file instead of a range: reading
            on is then cheaper than asking anew.
    """

    def __init__(self, ask: Open, backoff: Backoff) -> None:
        self.position = 0
        self.ranged = True
        self._ask = ask
        self._backoff = backoff
        self._stop = 0
        self._response: urllib3.BaseHTTPResponse | None = None
        self._host = ""
        # The offset of the response's next byte.
        self._reached = 0
        self._progress = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def seek(self, start: int, stop: int) -> None:
        """Read [start, stop) next."""
        self.position, self._stop = start, stop
        if self.ranged or self._reached > start:
            self._drop()

    def read(self) -> bytes:
        """Return the next bytes before the stop, at least one and at most `READ_BYTES`.

        Raises:
            FtServingError: The hub refused, or no try got any further.
        """
        while True:
            try:
                response = self._response or self._open()
                while self._reached < self.position:
                    self._receive(response, self.position - self._reached)
                data = self._receive(response, self._stop - self.position)
            except TransientError as exc:
                self._drop()
                self._backoff.wait(exc)
                continue
            self.position += len(data)
            self._progress += len(data)
            if self._progress >= READ_BYTES:
                self._progress = 0
                self._backoff.renew()
            return data

    def _open(self) -> urllib3.BaseHTTPResponse:
        self._response, self._host = self._ask(self.position, self._stop)
        self.ranged = self._response.status == 206
        self._reached = self.position if self.ranged else 0
        return self._response

    def _receive(self, response: urllib3.BaseHTTPResponse, size: int) -> bytes:
        try:
            data = response.read(min(READ_BYTES, size), decode_content=False)
        except (HTTPError, OSError) as exc:
            raise self._lost(reason(exc)) from exc
        if not data:
            raise self._lost("the answer ended early")
        self._reached += len(data)
        return data

    def _lost(self, cause: str) -> TransientError:
        return TransientError(f"lost the connection to {self._host} ({cause})", OTHER_ENDPOINT)

    def _drop(self) -> None:
        if self._response:
            # A complete answer's connection serves the next one.
            self._response.close()
            self._response = None
