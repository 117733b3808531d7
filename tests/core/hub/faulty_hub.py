"""A hub on 127.0.0.1 that fails on demand, and answers the hub client as a real one does."""

import hashlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "some/model"
TOKEN = "hf_verySecretToken"
FILES = {"config.json": b"{}\n", "model.bin": b"0123456789", "sub folder/a+b.txt": b""}
COMMIT = "1234567890123456789012345678901234567890"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The faults of one answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop_after: int | None = None
    stall_after: int | None = None
    flip_a_byte: bool = False
    ignore_range: bool = False
    without_length: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request, with its time in seconds of a monotonic clock."""

    path: str
    headers: dict[str, str]
    time: float

    @property
    def nbytes(self) -> int:
        """Bytes of the range asked for."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["range"])
        assert match
        return int(match[2]) + 1 - int(match[1])


class FaultyHub:
    """Serves `files` as LFS files if their names end in .bin, as plain git files otherwise.

    Faults are taken from the front of `metadata_faults` and `content_faults`, one a request; when
    there are none left, `always` (default: no fault) applies to content. `redirect_to` sends
    content requests to another FaultyHub.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)
        self.metadata: dict[str, Any] = metadata(files)
        self.metadata_faults: deque[Fault] = deque()
        self.content_faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.redirect_to: FaultyHub | None = None
        self.requests: list[Request] = []
        self.on_content: Callable[[int], None] = lambda _: None
        self.ended = threading.Event()
        self._lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            faulty_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> "FaultyHub":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def content_requests(self) -> list[Request]:
        return [request for request in self.requests if "/resolve/" in request.path]

    def fault(self, request: Request) -> Fault:
        """Record the request and say what goes wrong with it."""
        with self._lock:
            self.requests.append(request)
            if "/resolve/" not in request.path:
                return self.metadata_faults.popleft() if self.metadata_faults else Fault()
            count = len(self.content_requests)
            fault = self.content_faults.popleft() if self.content_faults else self.always
        self.on_content(count)
        return fault or Fault()


def metadata(files: dict[str, bytes]) -> dict[str, Any]:
    """Return the hub's answer to /api/models/REPOSITORY/revision/REVISION?blobs=true."""
    return {
        "id": REPOSITORY,
        "sha": COMMIT,
        "siblings": [_sibling(name, content) for name, content in files.items()],
    }


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    header = b"blob %d\0" % len(content)
    blob = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
    sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if name.endswith(".bin"):
        sibling["blobId"] = "f" * 40
        sibling["lfs"] = {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "pointerSize": 134,
        }
    return sibling


class _Handler(BaseHTTPRequestHandler):
    faulty_hub: FaultyHub
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes, and the second must not wait for an acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.faulty_hub.fault(Request(path=path, headers=headers, time=time.monotonic()))
        try:
            self._answer(path, headers, fault)
        except ConnectionError:
            self.close_connection = True

    def _answer(self, path: str, headers: dict[str, str], fault: Fault) -> None:
        if fault.status:
            self._send(fault.status, fault.headers, fault.body)
        elif path.startswith(f"/api/models/{REPOSITORY}/revision/"):
            self._send(200, {}, json.dumps(self.faulty_hub.metadata).encode())
        elif self.faulty_hub.redirect_to:
            location = f"{self.faulty_hub.redirect_to.endpoint}{path}?signature=secret"
            self._send(302, {"Location": location}, b"")
        else:
            name = path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/")
            self._send_content(self.faulty_hub.files[name], headers["range"], fault)

    def _send_content(self, content: bytes, asked: str, fault: Fault) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        assert match, asked
        start, stop = int(match[1]), int(match[2]) + 1
        answer = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        body = content[start:stop]
        if fault.ignore_range:
            answer, body = {}, content
        if fault.flip_a_byte:
            body = bytes([body[0] ^ 1]) + body[1:]
        self._send(200 if fault.ignore_range else 206, answer | fault.headers, body, fault)

    def _send(
        self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None = None
    ) -> None:
        fault = fault or Fault()
        length = (
            {"Connection": "close"} if fault.without_length else {"Content-Length": str(len(body))}
        )
        self.send_response(status)
        for name, value in (length | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: fault.drop_after][: fault.stall_after])
        if fault.stall_after is not None:
            self.faulty_hub.ended.wait()
        if fault.drop_after is not None:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = (
            fault.without_length or fault.drop_after is not None or fault.stall_after is not None
        )
