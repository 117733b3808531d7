"""The certificates of the cluster: their subjects, their authority, and their renewal."""

import datetime
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509

from local_platform.node import certificates
from local_platform.node.certificates import (
    API_SERVER,
    AUTHORITY,
    KSERVE_WEBHOOK,
    KUBELET,
    SERVICE_ACCOUNTS,
)

SIGNED = {holder.file for holder in certificates._SIGNED}


@pytest.fixture
def made(certificate_folder: Path) -> set[str]:
    """The names of the certificates that the first call made."""
    return names(certificates.ensure())


def names(paths: list[Path]) -> set[str]:
    return {path.stem for path in paths}


def test_only_root_reads_the_keys_and_only_the_authority_signs(
    made: set[str], certificate_folder: Path
) -> None:
    assert made == {"ca", *SIGNED}
    assert certificate_folder.stat().st_mode & 0o777 == 0o700
    for name in SIGNED:
        data = (certificate_folder / f"{name}.crt").read_bytes()
        extensions = x509.load_pem_x509_certificate(data).extensions
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert (certificate_folder / f"{name}.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("holder", "host"), [(API_SERVER, "127.0.0.1"), (API_SERVER, "10.0.2.100"),
                         (API_SERVER, "kubernetes.default.svc.cluster.local"),
                         (KSERVE_WEBHOOK, "kserve-webhook-server-service.kserve.svc")],
)  # fmt: skip
def test_a_client_that_knows_the_authority_trusts_a_server_by_its_names(
    made: set[str], holder: certificates.CertificateHolder, host: str
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(holder.certificate, holder.key)
    client = ssl.create_default_context(cafile=str(AUTHORITY.certificate))
    ours, theirs = socket.socketpair()

    def answer() -> None:
        with server.wrap_socket(theirs, server_side=True) as connection:
            connection.sendall(b"hello")

    thread = Thread(target=answer)
    thread.start()
    with client.wrap_socket(ours, server_hostname=host) as connection:
        assert connection.recv(5) == b"hello"
    thread.join()


def test_what_expires_within_sixty_days_is_made_again_with_the_same_key(
    made: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = SERVICE_ACCOUNTS.key.read_bytes()
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365 - 61)
    monkeypatch.setattr(certificates, "_now", lambda: later)
    assert certificates.ensure() == []

    monkeypatch.setattr(certificates, "_now", lambda: later + datetime.timedelta(days=2))

    assert names(certificates.ensure()) == SIGNED, "the authority lasts"
    assert SERVICE_ACCOUNTS.key.read_bytes() == key, "tokens of service accounts stay valid"
    assert certificates.ensure() == []


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\nMIGH"])
@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("kubelet.crt", {"kubelet"}),
        ("kubelet.key", {"kubelet"}),
        ("ca.key", {"ca", *SIGNED}),
        ("ca.crt", {"ca", *SIGNED}),
    ],
)
def test_what_is_missing_or_cut_short_is_made_again_with_all_that_it_signs(
    made: set[str], certificate_folder: Path, file: str, again: set[str], content: bytes | None
) -> None:
    if content is None:
        (certificate_folder / file).unlink()
    else:
        (certificate_folder / file).write_bytes(content)

    assert names(certificates.ensure()) == again
    assert certificates.ensure() == []


def test_a_certificate_for_other_hosts_or_of_another_key_is_made_again(
    made: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    KUBELET.key.write_bytes(API_SERVER.key.read_bytes())
    assert certificates.ensure() == [KUBELET.certificate]
    moved = replace(KUBELET, hosts=("elsewhere",))
    monkeypatch.setattr(certificates, "_SIGNED", (moved, API_SERVER))
    assert certificates.ensure() == [moved.certificate]
