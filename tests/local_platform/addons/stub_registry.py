"""A registry in memory that takes images as strictly as a real one."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class StubRegistry(ThreadingHTTPServer):
    """What it was given, and the requests that gave it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.refuse_uploads = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: StubRegistry

    def do_HEAD(self) -> None:
        self._note()
        *_, kind, name = self.path.split("/")
        if kind == "blobs":
            self._answer(200 if name in self.server.blobs else 404)
            return
        manifest = self.server.manifests.get(self._tag())
        if manifest is None:
            self._answer(404)
        else:
            self._answer(200, {"Docker-Content-Digest": _digest(manifest)})

    def do_POST(self) -> None:
        self._note()
        if self.server.refuse_uploads:
            self._answer(507, body=b"no space left on device")
            return
        # Registries keep the upload's state in the query, and add to it.
        self._answer(202, {"Location": f"http://{self.server.address}{self.path}1?_state=a%2Fb"})

    def do_PUT(self) -> None:
        self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "/manifests/" in self.path:
            self.server.manifests[self._tag()] = body
            self._answer(201)
            return
        found = re.search(r"\?_state=a%2Fb&digest=sha256%3A([0-9a-f]+)$", self.path)
        if found is None or hashlib.sha256(body).hexdigest() != found[1]:
            self._answer(400, body=b"DIGEST_INVALID")
            return
        self.server.blobs[_digest(body)] = body
        self._answer(201)

    def _tag(self) -> str:
        _, _, *repository, _, tag = self.path.split("/")
        return f"{'/'.join(repository)}:{tag}"

    def _note(self) -> None:
        self.server.requests.append(f"{self.command} {self.path.partition('?')[0]}")

    def _answer(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@contextmanager
def running() -> Iterator[StubRegistry]:
    """A registry that answers while the context lasts."""
    with StubRegistry() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
