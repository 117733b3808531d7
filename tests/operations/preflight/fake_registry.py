"""A registry on 127.0.0.1 that asks for a login."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "someone", "a-password"
TOKEN = "a-token"
IMAGE = "ft-serving/server-cpu"
DIGEST = f"sha256:{'ab' * 32}"
_BASIC = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@dataclass(kw_only=True)
class FakeRegistry:
    """What it asks for, and what it was asked.

    Attributes:
        bearer: Whether it has a service that gives tokens; else it takes passwords itself.
        public: Whether tokens to pull are given to anybody.
        port: Where it listens.
        scopes: What tokens were asked for.
    """

    bearer: bool = False
    public: bool = False
    port: int = 0
    scopes: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, path: str, login: str) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(path)
        if parts.path == "/token":
            scope = parse_qs(parts.query)["scope"][0]
            self.scopes.append(scope)
            known = login == _BASIC or (self.public and not login and scope.endswith(":pull"))
            return (200, {}, json.dumps({"token": TOKEN}).encode()) if known else (401, {}, b"{}")
        if login != (f"Bearer {TOKEN}" if self.bearer else _BASIC):
            realm = (
                f'realm="http://{self.host}/token",service="it"' if self.bearer else 'realm="it"'
            )
            return 401, {"WWW-Authenticate": f"{'Bearer' if self.bearer else 'Basic'} {realm}"}, b""
        there = (f"/v2/{IMAGE}/manifests/{DIGEST}", "/v2/")
        return (200 if parts.path in there else 404), {}, b""


@contextmanager
def fake_registry(*, bearer: bool = False, public: bool = False) -> Iterator[FakeRegistry]:
    """Serve one."""
    registry = FakeRegistry(bearer=bearer, public=public)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = registry.answer(
                self.path, self.headers.get("Authorization", "")
            )
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the server's name

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
