"""An API server on 127.0.0.1 that answers from a table of paths."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.operations.preflight.cluster import GROUPS

Document = dict[str, Any]
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(kw_only=True)
class FakeApi:
    """What it answers, and what it was asked.

    Attributes:
        answers: Status and document by path; 404 for others.
        denied: Resources that nobody is allowed.
        busy_times: Requests that it answers with 429 before it answers any.
        port: Where it listens.
        posted: Paths, queries and documents of creations and reviews.
    """

    answers: dict[str, tuple[int, Document]] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()
    busy_times: int = 0
    port: int = 0
    posted: list[tuple[str, str, Document]] = field(default_factory=list)

    def answer(self, path: str, body: Document | None) -> tuple[int, Document]:
        parts = urlsplit(path)
        if self.busy_times > 0:
            self.busy_times -= 1
            return 429, {"message": "slow down"}
        if body is not None:
            self.posted.append((parts.path, parts.query, body))
        if body is not None and parts.path == REVIEWS and parts.path not in self.answers:
            resource = body["spec"]["resourceAttributes"]["resource"]
            return 201, {"status": {"allowed": resource not in self.denied}}
        return self.answers.get(parts.path, (404, {"message": "not there"}))

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig with one context, `here`."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": "it"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """Serve a cluster with KServe and Knative, and nothing else."""
    groups = [
        {"name": name, "versions": [{"version": each} for each in versions]}
        for name, versions in GROUPS.items()
    ]
    api = FakeApi(
        answers={
            "/version": (200, {"gitVersion": "v1.34.4"}),
            "/apis": (200, {"groups": groups}),
        }
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, document = api.answer(self.path, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the server's name

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
