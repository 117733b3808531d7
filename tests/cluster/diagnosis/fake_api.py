"""An API server on 127.0.0.1 that answers from a recorded snapshot."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ft_serving.cluster.diagnosis import Kind, Snapshot

TOKEN = "a-token-that-nobody-may-see"
_LOG = re.compile(r"/api/v1/namespaces/[^/]+/pods/([^/]+)/log")
_REVISION = re.compile(r"/apis/serving.knative.dev/v1/namespaces/[^/]+/revisions/([^/]+)")
_LIST = re.compile(r"/apis?/(?P<group>.+?)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>\w+)")


@dataclass(kw_only=True)
class FakeApi:
    """What it answers, and what it was asked.

    Attributes:
        snapshot: What there is.
        refusals: The status of answers to paths that end with one of these words.
        port: Where it listens.
        asked: The paths, with queries.
        tokens: What was shown to get in.
        deleted: The revisions that were deleted.
    """

    snapshot: Snapshot
    refusals: dict[str, int] = field(default_factory=dict)
    port: int = 0
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, bytes]:
        parts = urlsplit(path)
        for ending, status in self.refusals.items():
            if parts.path.endswith(ending):
                message = {"kind": "Status", "message": f"no {ending} for you"}
                return status, json.dumps(message).encode()
        if match := _LOG.fullmatch(parts.path):
            container = parse_qs(parts.query)["container"][0]
            log = self.snapshot.logs.get((match[1], container))
            return (200, log.encode()) if log is not None else (400, b"not available")
        if match := _REVISION.fullmatch(parts.path):
            self.deleted.append(match[1])
            return 200, b"{}"
        match = _LIST.fullmatch(parts.path)
        assert match, path
        knative = (
            match["group"].startswith("serving.knative.dev") and match["resource"] == "services"
        )
        kind = Kind.KNATIVE_SERVICES if knative else Kind(match["resource"])
        return 200, json.dumps({"items": self.snapshot.all(kind)}).encode()

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig whose contexts are `here`, of the snapshot's namespace, and `bare`."""
        clusters = [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}]
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": clusters,
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [
                {
                    "name": "here",
                    "context": {
                        "cluster": "c",
                        "user": "u",
                        "namespace": self.snapshot.namespace,
                    },
                },
                {"name": "bare", "context": {"cluster": "c", "user": "u"}},
            ],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path


@contextmanager
def fake_api(snapshot: Snapshot) -> Iterator[FakeApi]:
    """Serve a snapshot."""
    api = FakeApi(snapshot=snapshot)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.asked.append(self.path)
            api.tokens.add(self.headers.get("Authorization", ""))
            status, body = api.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_DELETE = do_GET  # noqa: N815 - the server's name

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
