"""A registry in memory that takes images as strictly as a real one."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class StubRegistry(ThreadingHTTPServer):
    """Records the blobs and manifests that it was given, and the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"127.0.0.1:{self.server_port}"
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.refuse_uploads = False


class _Handler(BaseHTTPRequestHandler):
    server: StubRegistry

    def do_HEAD(self) -> None:
        *_, kind, name = self.path.split("/")
        stored = self.server.blobs.get(name)
        if kind == "manifests":
            stored = self.server.manifests.get(self._tag())
        if stored is None:
            self._answer(404)
        else:
            self._answer(200, headers={"Docker-Content-Digest": _digest(stored)})

    def do_POST(self) -> None:
        if self.server.refuse_uploads:
            self._answer(507, b"no space left on device")
            return
        # Registries keep the upload's state in the query, and add to it.
        place = f"http://{self.server.address}{self.path}1?_state=a%2Fb"
        self._answer(202, headers={"Location": place})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = re.search(r"\?_state=a%2Fb&digest=sha256%3A([0-9a-f]+)$", self.path)
        if "/manifests/" in self.path:
            self.server.manifests[self._tag()] = body
            self._answer(201)
        elif found is not None and hashlib.sha256(body).hexdigest() == found[1]:
            self.server.blobs[_digest(body)] = body
            self._answer(201)
        else:
            self._answer(400, b"DIGEST_INVALID")

    def _tag(self) -> str:
        _, _, *repository, _, tag = self.path.split("/")
        return f"{'/'.join(repository)}:{tag}"

    def _answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.server.requests.append(f"{self.command} {self.path.partition('?')[0]}")
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
    """Run a registry while the context is open."""
    with StubRegistry() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
