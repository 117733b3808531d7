"""The environment's proxies: every way to ask a server uses them, and names them when it fails."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ft_serving.client import GenerationClient
from ft_serving.client.errors import InvalidRequestError
from ft_serving.cluster.api import Api
from ft_serving.cluster.diagnosis.namespace import ClusterNamespace
from ft_serving.core.errors import FtServingError, ProxyError
from ft_serving.core.hub import retry
from ft_serving.core.hub.client import Hub
from ft_serving.core.proxies import proxy_for
from local_platform.node.volumes import local_client
from operations.preflight.registry import ask_registry
from tests.client.fake_grpc import FakeGrpc
from tests.client.fake_triton import FakeTriton
from tests.fake_proxy import fake_proxy
from tests.operations.preflight.cluster import needs

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "url", "address", "source"),
    [
        ({}, "http://a.test", None, None),
        ({"http_proxy": "http://p:1"}, "http://a.test", "http://p:1", "http_proxy"),
        ({"http_proxy": "http://p:1"}, "https://a.test", None, None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.test", "http://p:1", "HTTPS_PROXY"),
        ({"http_proxy": "q:2", "HTTP_PROXY": "p:1"}, "http://a.test", "http://q:2", "http_proxy"),
        ({"HTTP_PROXY": "p:1", "REQUEST_METHOD": "GET"}, "http://a.test", None, None),
        ({"all_proxy": "p"}, "https://a.test", "http://p:80", "all_proxy"),
        ({"ALL_PROXY": "p:1", "https_proxy": "q:2"}, "https://a.test", "http://q:2", "https_proxy"),
        ({"https_proxy": "https://p"}, "https://a.test", "https://p:443", "https_proxy"),
        ({"all_proxy": "socks5://p:1", "no_proxy": "a.test"}, "http://a.test", None, None),
        ({"all_proxy": "socks5://p:1"}, "http://localhost:8000", None, None),
    ],
)
def test_the_proxy_of_an_address_is_the_one_that_curl_would_take(
    environment: pytest.MonkeyPatch,
    variables: dict[str, str],
    url: str,
    address: str | None,
    source: str | None,
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    proxy = proxy_for(url)
    assert (proxy and proxy.address, proxy and proxy.source) == (address, source)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "ft.localhost", "127.0.0.1", "127.9.9.9", "[::1]"]
)
def test_loopback_addresses_go_direct(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("all_proxy", "p:1")
    assert proxy_for(f"http://{host}:8000") is None


@pytest.mark.parametrize(
    ("excluded", "host", "direct"),
    [
        ("*", "a.test", True),
        ("A.test.", "a.TEST", True),
        (".a.test", "b.a.test", True),
        ("a.test", "ba.test", False),
        ("b.test, a.test", "a.test", True),
        ("a.test:8000", "a.test", True),
        ("a.test:8001", "a.test", False),
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.2.0.0/16", "10.1.2.3", False),
        ("2.3", "10.1.2.3", False),
        ("10.0.0.0/8", "10.test", False),
        ("[fd00::1]:8000", "[fd00::1]", True),
        ("fd00::/8", "[fd00::1]", True),
        (" , .", "a.test", False),
    ],
)
def test_no_proxy_names_hosts_domains_ports_and_networks(
    environment: pytest.MonkeyPatch, excluded: str, host: str, direct: bool
) -> None:
    environment.setenv("http_proxy", "p:1")
    environment.setenv("NO_PROXY", excluded)
    assert (proxy_for(f"http://{host}:8000") is None) is direct


@pytest.mark.parametrize(
    ("address", "login"),
    [
        ("me:p%40ss@p:1", "Basic bWU6cEBzcw=="),
        ("http://me:p%E2%82%AC@p:1/", "Basic bWU6cOKCrA=="),
    ],
)
def test_a_user_and_password_in_the_address_are_shown_to_the_proxy_and_to_nobody_else(
    environment: pytest.MonkeyPatch, address: str, login: str
) -> None:
    environment.setenv("http_proxy", address)
    proxy = proxy_for("http://a.test")
    assert proxy
    assert proxy.headers["proxy-authorization"] == login
    assert "me" not in f"{proxy} {proxy!r} {proxy.note}"


@pytest.mark.parametrize("address", ["socks5h://me:hunter2@p:1", "http://me:hunter2@[", "http://"])
def test_an_address_that_is_no_proxys_is_told_without_it(
    environment: pytest.MonkeyPatch, address: str
) -> None:
    environment.setenv("ALL_PROXY", address)
    with pytest.raises(ProxyError, match=r"^ALL_PROXY: must be .*add a\.test to NO_PROXY") as told:
        proxy_for("http://a.test")
    assert "hunter2" not in str(told.value)


@pytest.fixture(params=[FakeTriton, FakeGrpc])
def served(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server, by a name that only a proxy knows."""
    with request.param() as server:
        yield f"{server.url.partition('://')[0]}://ft.test:{server.port}"


def test_a_server_is_asked_through_the_proxy_and_with_its_password(
    environment: pytest.MonkeyPatch, served: str
) -> None:
    with fake_proxy() as proxy:
        environment.setenv("http_proxy", f"me:p%40ss@127.0.0.1:{proxy.port}")
        with GenerationClient(served, wait_s=60) as asked:
            assert asked.generate_ids([[5]], output_length=1)
    assert "ft.test:" in proxy.requests[0]
    assert "proxy-authorization: basic bwu6cebzcw==" in proxy.requests[0].lower()


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: "{server}"{more}}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
"""


def _model(url: str) -> None:
    with GenerationClient(url, wait_s=0) as asked:
        asked.model()


def _registry() -> None:
    answer = ask_registry(needs("dev", {"image.registry": "ft.test"}))
    raise FtServingError(answer.reason)


WAYS: dict[str, Callable[[], object]] = {
    "http": lambda: _model("http://ft.test:8000"),
    "https": lambda: _model("https://ft.test"),
    "grpc": lambda: _model("grpc://ft.test:8001"),
    "grpcs": lambda: _model("grpcs://ft.test"),
    "hub": lambda: Hub("https://ft.test", None).snapshot("some/model", "main"),
    "plain hub": lambda: Hub("http://ft.test", None).snapshot("some/model", "main"),
    "registry": _registry,
    "diagnose": lambda: ClusterNamespace().snapshot("it"),
    "preflight": lambda: Api.of_kubeconfig().get("/version"),
}


@pytest.fixture(params=WAYS)
def ask(
    request: pytest.FixtureRequest, environment: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[], object]:
    """Ask a server at ft.test, in each way that there is."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.format(server="https://ft.test:6443", more=""))
    default = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    environment.setattr(default, str(kubeconfig))
    environment.setattr(retry, "FIRST_DELAY_S", 0.001)
    return WAYS[request.param]


@pytest.mark.parametrize("refusal", [403, 407, 502])
def test_a_proxy_that_refuses_is_named(
    environment: pytest.MonkeyPatch, ask: Callable[[], object], refusal: int
) -> None:
    with fake_proxy(refusal) as proxy:
        environment.setenv("all_proxy", f"127.0.0.1:{proxy.port}")
        with pytest.raises(FtServingError) as told:
            ask()
    assert f"the proxy http://127.0.0.1:{proxy.port} (all_proxy)" in str(told.value)
    assert "add ft.test to NO_PROXY" in str(told.value)
    assert ("http://USER:PASSWORD@HOST" in str(told.value)) is (refusal == 407)


def test_a_proxy_that_does_not_answer_is_named(
    environment: pytest.MonkeyPatch, ask: Callable[[], object]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        environment.setenv("ALL_PROXY", address)
        with pytest.raises(FtServingError) as told:
            ask()
    assert f"the proxy {address} (ALL_PROXY)" in str(told.value)
    assert "add ft.test to NO_PROXY" in str(told.value)


def test_a_socks_proxy_is_refused_where_it_would_be_used(
    environment: pytest.MonkeyPatch, ask: Callable[[], object]
) -> None:
    environment.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(FtServingError, match=r"ALL_PROXY: .* starts with socks5://"):
        ask()


def test_grpc_does_not_go_through_a_proxy_that_speaks_tls(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("https_proxy", "https://p.test")
    with pytest.raises(
        InvalidRequestError, match=r"https://p\.test:443 \(https_proxy\).*http:// address"
    ):
        GenerationClient("grpcs://ft.test")


def test_a_kubeconfigs_own_proxy_goes_before_the_environments(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("HTTPS_PROXY", "p.test:1")
    kubeconfig = tmp_path / "kubeconfig"
    with fake_proxy(403) as proxy:
        more = f', proxy-url: "http://me:pw@127.0.0.1:{proxy.port}"'
        kubeconfig.write_text(KUBECONFIG.format(server="https://127.0.0.1:6443", more=more))
        with pytest.raises(FtServingError, match=r"\(proxy-url of the kubeconfig\)"):
            Api.of_kubeconfig(str(kubeconfig)).get("/version")
    assert "proxy-authorization: Basic bWU6cHc=" in proxy.requests[0]


def test_the_platforms_own_api_server_is_asked_directly(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("HTTPS_PROXY", "http://p.test:1")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.format(server="https://127.0.0.1:6443", more=""))
    assert local_client(kubeconfig).rest_client.pool_manager.proxy is None
