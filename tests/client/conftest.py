"""Fixtures of the client's tests: servers that are not real ones, over both protocols."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from ft_serving.client import GenerationClient
from tests.client.fake_grpc import FakeGrpc
from tests.client.fake_triton import FakeServer, FakeTriton

TOKENIZER = Tokenizer.from_file(
    str(Path(__file__).parents[2] / "models" / "tiny-gptj" / "tokenizer.json")
)
MARY = [690, 513, 260, 331, 448, 15]
"""The tokens of "Mary has a little lamb."."""

CERTIFIED = "ft.example.test"
"""The name in the certificate; not an address that anything here listens on."""

Server = Callable[..., FakeServer]


def client(triton: FakeServer, wait_s: float = 0, timeout_s: float = 10) -> GenerationClient:
    return GenerationClient(
        triton.url, tokenizer=TOKENIZER, wait_s=wait_s, timeout_s=timeout_s, token="secret-token"
    )


@pytest.fixture(params=[FakeTriton, FakeGrpc], ids=["http", "grpc"])
def server(request: pytest.FixtureRequest) -> Server:
    """The class of a server, over each protocol in turn."""
    found: Server = request.param
    return found


@pytest.fixture
def triton(server: Server) -> Iterator[FakeServer]:
    """A server that answers as Triton does, over each protocol in turn."""
    with server() as triton:
        yield triton


@pytest.fixture
def over_http() -> Iterator[FakeTriton]:
    """A server that answers as Triton does, over HTTP."""
    with FakeTriton() as triton:
        yield triton


@pytest.fixture
def over_grpc() -> Iterator[FakeGrpc]:
    """A server that answers as Triton does, over gRPC."""
    with FakeGrpc() as triton:
        yield triton


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waits for a model be short."""
    monkeypatch.setattr("ft_serving.client.patience.FIRST_DELAY_S", 0.01)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a private key and a self-signed certificate for `CERTIFIED`."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)),
            *("-subj", f"/CN={CERTIFIED}", "-addext", f"subjectAltName=DNS:{CERTIFIED}"),
        ],
        check=True,
        capture_output=True,
    )
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both
