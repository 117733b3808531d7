"""Reads the bytes of one remote file from any position on, over as many connections as it takes."""

import re
from collections.abc import Callable
from typing import Self

import urllib3
from urllib3.exceptions import HTTPError

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.retry import Backoff, TransientError
from ft_serving.core.hub.transport import OTHER_ENDPOINT, HubTransport, StatusError, host_of, reason
from ft_serving.core.proxies import noted

# Larger reads fall out of the processor's cache before they are written, smaller ones cost calls.
READ_BYTES = 512 << 10

_FOREIGN = "the hub or a proxy before it is broken: set HF_ENDPOINT to another hub or mirror"


class RangeSource:
    """The ranges of one file; threads that fetch it share a source.

    A hub redirects large files to signed addresses elsewhere. The source asks the address found
    last for the ranges that follow, which spares the hub a request for each. Once that fails, it
    asks the hub again.

    Args:
        transport: The connections.
        url: The file's address at the hub.
        size: The file's size in bytes.
        refusal: Words the hub's final answers for the user.
    """

    def __init__(
        self,
        transport: HubTransport,
        url: str,
        size: int,
        refusal: Callable[[StatusError], FtServingError],
    ) -> None:
        self._transport = transport
        self._url = self._location = url
        self._size = size
        self._refusal = refusal

    def open(self, start: int, stop: int) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Ask for the bytes [start, stop).

        Returns:
            The response and its host. Its status is 206, or 200 if the server sends the whole file.

        Raises:
            TransientError: Another try may succeed.
            FtServingError: The hub refuses.
        """
        location = self._location
        try:
            response, found = self._transport.get(location, {"Range": f"bytes={start}-{stop - 1}"})
        except StatusError as exc:
            if location == self._url and exc.host == host_of(self._url):
                raise self._refusal(exc) from exc
            self._location = self._url
            remedy = "the storage behind the hub refuses what the hub grants: try again later"
            raise TransientError(str(exc), noted(remedy, exc.proxy)) from exc
        except TransientError:
            self._location = self._url
            raise
        if problem := self._problem(response, start, stop):
            response.close()
            self._location = self._url
            raise TransientError(f"{host_of(found)} sent {problem}", _FOREIGN)
        self._location = found
        return response, host_of(found)

    def _problem(self, response: urllib3.BaseHTTPResponse, start: int, stop: int) -> str | None:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            return f"a file in content encoding {encoding!r}, which was not asked"
        if response.status == 206:
            given = response.headers.get("Content-Range", "no Content-Range")
            if given != f"bytes {start}-{stop - 1}/{self._size}":
                return f"{given!r} when asked for bytes {start}-{stop - 1} of {self._size}"
            return None
        length = response.headers.get("Content-Length", str(self._size))
        if not re.fullmatch(r"\d+", length) or int(length) != self._size:
            return f"a file of {length} bytes; the hub's metadata say {self._size}"
        return None


class Stream:
    """Reads a file's bytes in order, and reconnects at the byte reached.

    Attributes:
        position: The offset of the next byte.
        ranged: False once the server was seen sending the whole file instead of a range: reading
            on is then cheaper than asking anew.
    """

    def __init__(self, source: RangeSource, backoff: Backoff) -> None:
        self.position = 0
        self.ranged = True
        self._source = source
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
        self._response, self._host = self._source.open(self.position, self._stop)
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
