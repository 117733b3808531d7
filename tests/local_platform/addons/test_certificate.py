"""The webhooks' certificate."""

import datetime
import socket
import ssl
from pathlib import Path
from threading import Thread

import pytest

from local_platform.addons.certificate import Certificate, make, serves

HOST = "hooks.example.svc"
NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)


def test_a_client_that_knows_only_the_certificate_trusts_the_server(tmp_path: Path) -> None:
    made = make(HOST, datetime.datetime.now(datetime.UTC))
    both = tmp_path / "both.pem"
    both.write_bytes(made.certificate + made.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(both)
    client = ssl.create_default_context(cadata=made.certificate.decode())
    ours, theirs = socket.socketpair()

    def answer() -> None:
        with server.wrap_socket(theirs, server_side=True) as connection:
            connection.sendall(b"hello")

    thread = Thread(target=answer)
    thread.start()
    with client.wrap_socket(ours, server_hostname=HOST) as connection:
        assert connection.recv(5) == b"hello"
    thread.join()


def test_a_certificate_serves_its_host_until_ninety_days_before_its_end() -> None:
    made = make(HOST, NOW)
    assert serves(made, HOST, NOW)
    assert serves(made, HOST, NOW + datetime.timedelta(days=3650 - 91))
    assert not serves(made, HOST, NOW + datetime.timedelta(days=3650 - 89))
    assert not serves(made, HOST, NOW - datetime.timedelta(days=1))
    assert not serves(made, "other.example.svc", NOW)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Certificate(certificate=b"", key=b""), id="empty"),
        pytest.param(Certificate(certificate=make(HOST, NOW).certificate, key=b"x"), id="no key"),
        pytest.param(
            Certificate(certificate=make(HOST, NOW).certificate, key=make(HOST, NOW).key),
            id="another's key",
        ),
    ],
)
def test_what_cannot_serve_is_replaced_rather_than_kept(broken: Certificate) -> None:
    assert not serves(broken, HOST, NOW)
