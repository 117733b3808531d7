"""The mirror as a server, and its command line."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local_platform.errors import PlatformError
from local_platform.hub.__main__ import app
from local_platform.hub.server import HubServer

BIG = 64 * 1024**2


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def exchange(url: str, sent: bytes) -> bytes:
    """Send a request, and read until the mirror closes the connection."""
    with connect(url) as client:
        client.sendall(sent)
        return read_to_end(client)


def read_to_end(client: socket.socket) -> bytes:
    with client.makefile("rb") as received:
        return received.read()


def get(target: bytes) -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % target


@pytest.fixture
def big(root: Path) -> Path:
    """A file that no socket's buffers hold."""
    path = root / "tiny-gptj/big.bin"
    with path.open("wb") as file:
        file.truncate(BIG)
    return path


def start_download(hub: HubServer) -> socket.socket:
    """Ask for the big file, and read no more than the headers' first byte."""
    client = connect(hub.url)
    client.sendall(get(b"/tiny-gptj/resolve/main/big.bin"))
    client.recv(1)
    return client


def body_of(client: socket.socket) -> bytes:
    return read_to_end(client).partition(b"\r\n\r\n")[2]


def test_closing_lets_a_response_finish_and_ends_idle_connections(big: Path, root: Path) -> None:
    hub = HubServer(root)
    hub.__enter__()
    idle, client = connect(hub.url), start_download(hub)
    closer = threading.Thread(target=hub.__exit__, args=(None, None, None))
    closer.start()
    with idle, client:
        assert read_to_end(idle) == b""
        assert closer.is_alive(), "the response under way must be waited for"
        assert len(body_of(client)) == BIG
    closer.join(10)
    assert not closer.is_alive()
    with pytest.raises(ConnectionRefusedError):
        connect(hub.url)


@pytest.mark.parametrize(
    "target",
    [
        b"/tiny-gptj/resolve/main/../../../secret",
        b"/tiny-gptj/resolve/main/..%2f..%2f..%2fsecret",
        b"/tiny-gptj/resolve/main/%2e%2e/%2e%2e/secret",
        b"/tiny-gptj/resolve/main//etc/passwd",
        b"/tiny-gptj/resolve/main/%2fetc%2fpasswd",
        b"/tiny-gptj/resolve/main/secret",
        b"/tiny-gptj/resolve/main/.secret",
        b"/tiny-gptj/resolve/main/vocab.txt%00",
        b"/tiny-gptj/resolve/main/./vocab.txt",
        b"/%2e%2e/resolve/main/secret",
        b"/tiny-gptj/../resolve/main/config.json",
        b"/%2fetc/resolve/main/passwd",
        b"/api/models/%2e%2e",
        b"/api/models/tiny-gptj/tree/%2e%2e%2fEleutherAI",
        b"///tiny-gptj/resolve/main/../../secret",
        b"file:///etc/passwd",
    ],
)
def test_no_path_leads_out_of_a_model(hub: HubServer, root: Path, target: bytes) -> None:
    (root.parent / "secret").write_text("secret")
    (root / "tiny-gptj/.secret").write_text("secret")
    (root / "tiny-gptj/secret").symlink_to("../../secret")
    received = exchange(hub.url, get(target))
    assert received.startswith(b"HTTP/1.1 404 "), received
    assert set(json.loads(received.partition(b"\r\n\r\n")[2])) == {"error"}


def test_a_request_cannot_add_headers_to_its_answer(hub: HubServer) -> None:
    received = exchange(hub.url, get(b"/tiny-gptj/resolve/main/a%0d%0aSet-Cookie:%20b"))
    assert received.startswith(b"HTTP/1.1 404 ")
    assert b"\nSet-Cookie" not in received


def test_a_port_in_use_is_refused(hub: HubServer, root: Path) -> None:
    port = int(hub.url.rpartition(":")[2])
    with pytest.raises(PlatformError, match=f"Address already in use .*127.0.0.1.*{port}"):
        HubServer(root, port=port)


def test_the_command_serves_until_it_is_told_to_end(root: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hf_secret\n")
    command = ["--root", str(root), "--port", "0", "--token-file", str(token)]
    with subprocess.Popen(
        [sys.executable, "-m", "local_platform.hub", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        served = re.fullmatch(
            r"Serving at http://(127\.0\.0\.1:\d+): EleutherAI/gpt-j-6b at [0-9a-f]{40},"
            r" tiny-gptj at [0-9a-f]{40}\. Clients use it with HF_ENDPOINT=http://\1\n",
            line,
        )
        assert served, line
        connection = HTTPConnection(served[1], timeout=30)
        connection.request(
            "GET", "/api/models/tiny-gptj", headers={"Authorization": "Bearer hf_secret"}
        )
        assert connection.getresponse().read().startswith(b"{")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        connection.close()
    assert process.returncode == 0
    assert '"GET /api/models/tiny-gptj HTTP/1.1" 200' in errors
    assert "hf_secret" not in errors


def test_a_file_without_a_token_does_not_let_everyone_in(root: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("\n")
    done = CliRunner().invoke(app, ["--root", str(root), "--token-file", str(token)])
    assert str(done.exception) == "--token-file: the file holds no token"
