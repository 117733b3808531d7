"""A fake API server and a fake registry on 127.0.0.1, by one HTTP server."""

import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ft_serving.cluster.diagnosis import Kind, NamespaceSnapshot

Document = dict[str, Any]
TOKEN = "a-token-that-nobody-may-see"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
GROUPS = {"serving.kserve.io": ("v1alpha1", "v1beta1"), "serving.knative.dev": ("v1",)}

USER, PASSWORD = "someone", "a-password"
IMAGE = "ft-serving/server-cpu"
DIGEST = f"sha256:{'ab' * 32}"
_BASIC = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

_LOG = re.compile(r"/api/v1/namespaces/[^/]+/pods/([^/]+)/log")
_LIST = re.compile(r"/apis?/(?P<group>.+?)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>\w+)")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to a fake."""

    method: str
    target: str
    path: str
    query: Mapping[str, list[str]]
    login: str
    body: Document | None


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""A status, a document or bytes, and headers."""


@contextmanager
def served(answer: Callable[[Request], Answer]) -> Iterator[int]:
    """Serve answers, and give the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            status, said, *headers = answer(
                Request(
                    method=self.command,
                    target=self.path,
                    path=parts.path,
                    query=parse_qs(parts.query),
                    login=self.headers.get("Authorization", ""),
                    body=json.loads(self.rfile.read(length)) if length else None,
                )
            )
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in (headers[0] if headers else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(kw_only=True)
class FakeApi:
    """An API server that answers from a table, then from a snapshot."""

    snapshot: NamespaceSnapshot | None = None  # The objects and logs that there are.
    # Status and document by the end of the path.
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()  # Resources that access reviews deny.
    busy_times: int = 0  # Requests that it answers with 429 before it answers any.
    port: int = 0
    asked: list[str] = field(default_factory=list)  # The paths of all requests, with queries.
    logins: set[str] = field(default_factory=set)  # The Authorization headers of all requests.
    posted: list[Request] = field(default_factory=list)  # The creations and reviews.
    deleted: list[str] = field(default_factory=list)  # The names of deleted objects.

    def answer(self, request: Request) -> Answer:
        self.asked.append(request.target)
        self.logins.add(request.login)
        if self.busy_times > 0:
            self.busy_times -= 1
            return 429, {"message": "slow down"}
        if request.method == "POST":
            self.posted.append(request)
        for ending, answer in self.answers.items():
            if request.path.endswith(ending):
                return answer
        if request.method == "DELETE":
            self.deleted.append(request.path.rpartition("/")[2])
            return 200, {}
        if request.body is not None and request.path == REVIEWS:
            resource = request.body["spec"]["resourceAttributes"]["resource"]
            # Who may do everything may do each.
            allowed = not self.denied if resource == "*" else resource not in self.denied
            return 201, {"status": {"allowed": allowed}}
        return (404, {"message": "not there"}) if self.snapshot is None else self._recorded(request)

    def _recorded(self, request: Request) -> Answer:
        assert self.snapshot
        if match := _LOG.fullmatch(request.path):
            log = self.snapshot.logs.get((match[1], request.query["container"][0]))
            return (200, log.encode()) if log is not None else (400, b"not available")
        match = _LIST.fullmatch(request.path)
        assert match, request.path
        knative = match["group"].startswith("serving.knative.dev")
        services = knative and match["resource"] == "services"
        kind = Kind.KNATIVE_SERVICES if services else Kind(match["resource"])
        return 200, {"items": self.snapshot.all(kind)}

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig whose contexts are `here`, the current one, and `bare`."""
        user = {"cluster": "c", "user": "u"}
        namespace = self.snapshot.namespace if self.snapshot else "default"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [
                {"name": "here", "context": {**user, "namespace": namespace}},
                {"name": "bare", "context": user},
            ],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path


@contextmanager
def fake_api(snapshot: NamespaceSnapshot | None = None) -> Iterator[FakeApi]:
    """Serve a snapshot, or a cluster with KServe and Knative and nothing else."""
    groups = [
        {"name": name, "versions": [{"version": each} for each in versions]}
        for name, versions in GROUPS.items()
    ]
    api = FakeApi(snapshot=snapshot)
    if snapshot is None:
        api.answers = {
            "/version": (200, {"gitVersion": "v1.34.4"}),
            "/apis": (200, {"groups": groups}),
        }
    with served(api.answer) as api.port:
        yield api


@dataclass(kw_only=True)
class FakeRegistry:
    """A registry that asks for a login."""

    # Whether it has a service that gives tokens; else it takes passwords itself.
    bearer: bool = False
    public: bool = False  # Whether that gives tokens to pull to anybody.
    realm: str = ""  # The address of that service; by default its own.
    port: int = 0
    scopes: list[str] = field(default_factory=list)  # The scopes of tokens that were asked for.

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, request: Request) -> Answer:
        login = request.login
        if request.path == "/token":
            (scope,) = request.query["scope"]
            self.scopes.append(scope)
            known = login == _BASIC or (self.public and not login and scope.endswith(":pull"))
            return (200, {"token": TOKEN}) if known else (401, {})
        if login != (f"Bearer {TOKEN}" if self.bearer else _BASIC):
            realm = self.realm or f"http://{self.host}/token"
            bearer = f'Bearer realm="{realm}",service="it"'
            return 401, b"", {"WWW-Authenticate": bearer if self.bearer else 'Basic realm="it"'}
        there = (f"/v2/{IMAGE}/manifests/{DIGEST}", "/v2/")
        return (200 if request.path in there else 404), b""


@contextmanager
def fake_registry(
    *, bearer: bool = False, public: bool = False, realm: str = ""
) -> Iterator[FakeRegistry]:
    """Serve a registry."""
    registry = FakeRegistry(bearer=bearer, public=public, realm=realm)
    with served(registry.answer) as registry.port:
        yield registry
