"""The heads of HTTP requests: how they are read from a connection, within bounds, and parsed."""

import contextlib
import http.client
import io
import re
import socket
import time
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus

from local_platform.errors import RefusedRequestError

# Several times what huggingface_hub sends, and little enough for every connection at once.
HEAD_BYTES = 32 * 1024

# How long a connection may stay silent between requests.
IDLE_SECONDS = 30.0

# How long a head may take from its first byte to its last; counted over all of it, so that a drip
# of bytes does not hold a connection.
HEAD_SECONDS = 10.0

_HEAD_END = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])\r\n")

_LINGER_BYTES = 1024 * 1024
_LINGER_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request without its body, which nothing here has a use for.

    Attributes:
        method: its method.
        target: its target, as sent.
        headers: its header fields, looked up without regard to case.
    """

    method: str
    target: str
    headers: Message
    http_1_1: bool

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head."""
        return self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers

    @property
    def keeps_connection(self) -> bool:
        """Whether the client may send another request over the same connection."""
        options = self.headers.get("Connection", "").lower()
        return self.http_1_1 and "close" not in options and not self.has_body


def parse_head(head: bytes) -> Request:
    """Parse a request's head.

    Args:
        head: request line, header fields and empty line.

    Raises:
        RefusedRequestError: it is not HTTP/1.1 or HTTP/1.0.
    """
    match = _REQUEST_LINE.match(head)
    if match is None:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "not an HTTP/1.1 request")
    method, target, minor = match.groups()
    try:
        headers = http.client.parse_headers(io.BytesIO(head[match.end() :]))
    except http.client.HTTPException as exc:
        raise RefusedRequestError(
            HTTPStatus.BAD_REQUEST, f"malformed header fields: {exc}"
        ) from exc
    return Request(
        method=method.decode("ascii"),
        target=target.decode("ascii"),
        headers=headers,
        http_1_1=minor == b"1",
    )


class RequestHeads:
    """The heads of the requests that come over a connection, one after the other.

    Bytes that came after a head are kept for the next one.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def next_head(self) -> bytes | None:
        """Wait for a request's head: its request line and header fields, with the empty line.

        Returns:
            The head; None if the client has closed the connection or left it idle.

        Raises:
            RefusedRequestError: it is longer than `HEAD_BYTES`, or was begun and did not end within
                `HEAD_SECONDS`.
            OSError: the connection broke.
        """
        if not self._buffer:
            self._connection.settimeout(IDLE_SECONDS)
            try:
                self._buffer = self._connection.recv(HEAD_BYTES)
            except TimeoutError:
                return None
        deadline = time.monotonic() + HEAD_SECONDS
        while True:
            # RFC 9112 section 2.2: some clients send an empty line before a request.
            self._buffer = self._buffer.lstrip(b"\r\n")
            head, end, rest = self._buffer.partition(_HEAD_END)
            if len(head) > HEAD_BYTES:
                raise RefusedRequestError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"the request's head exceeds {HEAD_BYTES} bytes",
                )
            if end:
                self._buffer = rest
                return head + end
            try:
                received = self._receive_until(deadline)
            except TimeoutError as exc:
                raise RefusedRequestError(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the request's head did not end within {HEAD_SECONDS:g} s",
                ) from exc
            if not received:
                return None
            self._buffer += received

    def linger(self) -> None:
        """End a connection on which unread bytes may wait, so that the client gets the response.

        To close at once would reset the connection, and a reset discards what the client has not
        read yet.
        """
        deadline = time.monotonic() + _LINGER_SECONDS
        received = 0
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
            while received < _LINGER_BYTES and (chunk := self._receive_until(deadline)):
                received += len(chunk)

    def _receive_until(self, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv(HEAD_BYTES)
