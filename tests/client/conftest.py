"""What the client's tests share."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake_triton import FakeTriton

CERTIFIED = "ft.example.test"
"""The name in the certificate; not an address that anything here listens on."""


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


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waits for a model be short."""
    monkeypatch.setattr("ft_serving.client.patience.FIRST_DELAY_S", 0.01)


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    """A server that answers as Triton does, and has faults when told so."""
    with FakeTriton() as triton:
        yield triton
