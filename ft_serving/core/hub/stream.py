"""The bytes of one remote file, from any position on, over as many connections as it takes."""

import re
from collections.abc import Callable
from types import TracebackType

import urllib3
from urllib3.exceptions import HTTPError

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.retry import Backoff, TransientError
from ft_serving.core.hub.transport import OTHER_ENDPOINT, HubTransport, StatusError, host_of, reason

# Larger reads fall out of the processor's cache before they are written, smaller ones cost calls.
READ_BYTES = 512 << 10

_FOREIGN = "the hub or a proxy before it is broken: set HF_ENDPOINT to another hub or mirror"


class RangeSource:
    """Where ranges of one file come from; shared by the threads that fetch it.

    A hub redirects large files to signed addresses elsewhere. The address found last serves the
    ranges that follow, which spares the hub a request for each; once it fails the hub is asked
    again.
    """

    def __init__(
        self,
        transport: HubTransport,
        url: str,
        size: int,
        refusal: Callable[[StatusError], FtServingError],
    ) -> None:
        """Begin at `url`; `refusal` words the hub's final answers for the user."""
        self._transport = transport
        self._url = url
        self._location = url
        self._size = size
        self._refusal = refusal

    def open(self, start: int, stop: int) -> "Body":
        """Ask for the bytes [start, stop); the answer may begin at 0 instead.

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
            if exc.proxy:
                remedy = f"{remedy}. {exc.proxy.note}"
            raise TransientError(str(exc), remedy) from exc
        except TransientError:
            self._location = self._url
            raise
        try:
            self._check(response, start, stop, host_of(found))
        except TransientError:
            response.close()
            self._location = self._url
            raise
        self._location = found
        return Body(response, host_of(found), start)

    def _check(self, response: urllib3.BaseHTTPResponse, start: int, stop: int, host: str) -> None:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise TransientError(
                f"{host} sent a file in content encoding {encoding!r}, which was not asked",
                _FOREIGN,
            )
        if response.status == 206:
            given = response.headers.get("Content-Range", "no Content-Range")
            if given != f"bytes {start}-{stop - 1}/{self._size}":
                raise TransientError(
                    f"{host} sent {given!r} when asked for bytes {start}-{stop - 1} "
                    f"of {self._size}",
                    _FOREIGN,
                )
            return
        length = response.headers.get("Content-Length", str(self._size))
        if not re.fullmatch(r"\d+", length) or int(length) != self._size:
            raise TransientError(
                f"{host} sent a file of {length} bytes; the hub's metadata say {self._size}",
                _FOREIGN,
            )


class Body:
    """An open answer: the file's bytes from `position` on.

    Attributes:
        ranged: Whether the server kept to the range asked for; else the whole file follows.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, host: str, start: int) -> None:
        self.ranged = response.status == 206
        self.position = start if self.ranged else 0
        self._response = response
        self._host = host

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`.

        Raises:
            TransientError: The connection was lost or stalled.
        """
        try:
            data = self._response.read(size, decode_content=False)
        except (HTTPError, OSError) as exc:
            raise self._lost(reason(exc)) from exc
        if not data:
            raise self._lost("the answer ended early")
        self.position += len(data)
        return data

    def shutdown(self) -> None:
        """End a read that waits in another thread."""
        try:
            self._response.shutdown()
        except (OSError, RuntimeError, ValueError):
            # Nobody waits: the answer is complete, closed, or its connection gone.
            return

    def close(self) -> None:
        """Drop the connection, unless the answer is complete and it serves the next one."""
        self._response.close()

    def _lost(self, cause: str) -> TransientError:
        return TransientError(f"lost the connection to {self._host} ({cause})", OTHER_ENDPOINT)


class AbortedError(Exception):
    """The stream was told to end."""


class Stream:
    """Reads a file's bytes in order, reconnecting at the byte reached.

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
        self._body: Body | None = None
        self._progress = 0
        self._aborted = False

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._drop()

    def seek(self, start: int, stop: int) -> None:
        """Read [start, stop) next."""
        self.position, self._stop = start, stop
        if self._body and (self.ranged or self._body.position > start):
            self._drop()

    def read(self) -> bytes:
        """The next bytes before the stop, at least one and at most `READ_BYTES`.

        Raises:
            FtServingError: Refused, or no try got any further.
            AbortedError: `abort` was called.
        """
        while not self._aborted:
            try:
                body = self._body or self._open()
                while body.position < self.position:
                    body.read(min(READ_BYTES, self.position - body.position))
                data = body.read(min(READ_BYTES, self._stop - self.position))
            except TransientError as exc:
                self._drop()
                if not self._aborted:
                    self._backoff.wait(exc)
                continue
            self.position += len(data)
            self._progress += len(data)
            if self._progress >= READ_BYTES:
                self._progress = 0
                self._backoff.renew()
            return data
        raise AbortedError

    def abort(self) -> None:
        """Make a read that waits in another thread fail at once."""
        self._aborted = True
        body = self._body
        if body:
            body.shutdown()

    def _open(self) -> Body:
        body = self._body = self._source.open(self.position, self._stop)
        # `abort` looks for the body after it has set the flag: one of the two sees the other.
        if self._aborted:
            body.shutdown()
        self.ranged = body.ranged
        return body

    def _drop(self) -> None:
        if self._body:
            self._body.close()
            self._body = None
