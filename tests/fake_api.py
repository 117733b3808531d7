"""An API server on 127.0.0.1: what it answers is for who derives from it to say."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

Document = dict[str, Any]
TOKEN = "a-token-that-nobody-may-see"


@dataclass(kw_only=True)
class FakeApi:
    """What it was asked.

    Attributes:
        namespace: That of the kubeconfig's context.
        busy_times: Requests that it answers with 429 before it answers any.
        port: Where it listens.
        asked: The paths, with queries.
        tokens: What was shown to get in.
        posted: Paths, queries and documents of creations and reviews.
    """

    namespace: str = "default"
    busy_times: int = 0
    port: int = 0
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    posted: list[tuple[str, str, Document]] = field(default_factory=list)

    def answer(self, method: str, path: str, query: str, body: Document | None) -> tuple[int, Any]:
        """The status, and a document or the bytes of a log."""
        raise NotImplementedError

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig whose contexts are `here`, the current one, and `bare`."""
        user = {"cluster": "c", "user": "u"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [
                {"name": "here", "context": {**user, "namespace": self.namespace}},
                {"name": "bare", "context": user},
            ],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path


ApiT = TypeVar("ApiT", bound=FakeApi)


@contextmanager
def served(api: ApiT) -> Iterator[ApiT]:
    """Serve one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.asked.append(self.path)
            api.tokens.add(self.headers.get("Authorization", ""))
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            if api.busy_times > 0:
                api.busy_times -= 1
                status, answer = 429, {"message": "slow down"}
            else:
                if body is not None:
                    api.posted.append((parts.path, parts.query, body))
                status, answer = api.answer(self.command, parts.path, parts.query, body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET  # noqa: N815 - the server's names

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
