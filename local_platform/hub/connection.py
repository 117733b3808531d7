"""One connection: its requests are read, answered, sent and logged."""

import logging
import os
import socket
import struct
import time
from email.utils import formatdate

from local_platform.errors import FileChangedError, RefusedRequestError
from local_platform.hub.request import RequestHeads, parse_head
from local_platform.hub.service import FileBody, HubService, Response, error_response

access_log = logging.getLogger("local_platform.hub.access")

# How long a client may take nothing of a response.
_SEND_SECONDS = 60

# The end of a part of a file that is held back until the file is seen unchanged.
_TAIL_BYTES = 64 * 1024


class HubConnection:
    """Answers the requests that come over one connection.

    Args:
        client: the connection; whoever accepted it closes it.
        service: what answers the requests.
    """

    def __init__(self, client: socket.socket, service: HubService) -> None:
        self._client = client
        self._service = service
        self._heads = RequestHeads(client)
        # Headers and body leave in separate writes. With Nagle's algorithm the body would wait
        # for the client's delayed acknowledgement of the headers, 40 ms on Linux.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel times blocking writes, so that sendfile moves a whole file in a few calls.
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0)
        )

    def serve(self) -> None:
        """Answer requests until the connection ends."""
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        """Answer one request; return whether another may follow."""
        method = target = "-"
        keep, unread = False, True
        started = time.perf_counter()
        try:
            head = self._heads.next_head()
            if head is None:
                return False
            started = time.perf_counter()
            request = parse_head(head)
            method, target = request.method, request.target
            keep, unread = request.keeps_connection, request.has_body
            response = self._service.answer(request)
        except RefusedRequestError as error:
            response = error_response(error)
        except OSError:
            return False
        transfer = _Transfer(self._client)
        transfer.send(response, head_only=method == "HEAD", keep=keep)
        access_log.info(
            "%s %s %d %d bytes %.1f ms%s",
            method,
            target.partition("?")[0],
            response.status,
            transfer.sent,
            1000 * (time.perf_counter() - started),
            f", incomplete: {transfer.failure}" if transfer.failure else "",
        )
        if unread:
            self._heads.linger()
        return keep and not transfer.failure


class _Transfer:
    """A response on its way.

    Attributes:
        sent: bytes of the body that were handed to the connection.
        failure: why the response did not leave whole; None if it did.
    """

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self.sent = 0
        self.failure: Exception | None = None

    def send(self, response: Response, *, head_only: bool, keep: bool) -> None:
        body = response.body
        self._client.settimeout(None)
        try:
            self._client.sendall(_head(response, keep=keep))
            if head_only:
                return
            if isinstance(body, FileBody):
                self._send_file(body)
            else:
                self._client.sendall(body)
                self.sent = len(body)
        except (OSError, FileChangedError) as exc:
            self.failure = exc
        finally:
            if isinstance(body, FileBody):
                body.stream.close()

    def _send_file(self, body: FileBody) -> None:
        """Send a part of a file, its last bytes only if the file has not been written meanwhile.

        A client then sees a body that ends too early, never a whole one made of two versions. The
        bytes that wait in the socket still are the file's own pages, so a write into the file may
        reach them; a client that checks the digest sees that too. A file that is replaced by
        rename, as copying tools do, has none of this: the open one stays what it was.
        """
        descriptor = body.stream.fileno()
        offset = body.part.offset
        end = offset + body.part.length
        tail = max(offset, end - _TAIL_BYTES)
        while offset < tail:
            moved = os.sendfile(self._client.fileno(), descriptor, offset, tail - offset)
            if moved == 0:
                break
            offset += moved
            self.sent += moved
        last = os.pread(descriptor, end - tail, tail)
        status = os.fstat(descriptor)
        if (status.st_size, status.st_mtime_ns) != (body.version.size, body.version.mtime_ns):
            raise FileChangedError("the file was changed while it was sent")
        self._client.sendall(last)
        self.sent += len(last)


def _head(response: Response, *, keep: bool) -> bytes:
    body = response.body
    headers = {
        "Date": formatdate(usegmt=True),
        **response.headers,
        "Content-Length": str(body.part.length if isinstance(body, FileBody) else len(body)),
    }
    if not keep:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {response.status:d} {response.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
