import os
import socket
import threading
import time
from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.hub import server
from local_platform.hub.server import HubServer
from tests.local_platform.hub.wire import exchange, open_socket, read_to_end, request


def start_download(hub: HubServer) -> tuple[socket.socket, bytes]:
    """Ask for a file of 64 MiB and read no more than the headers' first bytes."""
    client = open_socket(hub.url)
    client.sendall(b"GET /tiny-gptj/resolve/main/big.bin HTTP/1.1\r\nConnection: close\r\n\r\n")
    return client, client.recv(1)


def received_body(client: socket.socket, begun: bytes) -> bytes:
    _, _, body = (begun + read_to_end(client)).partition(b"\r\n\r\n")
    return body


BIG = 64 * 1024**2


@pytest.fixture
def big(root: Path) -> Path:
    """A file that no socket's buffers hold."""
    path = root / "tiny-gptj/big.bin"
    with path.open("wb") as file:
        file.truncate(BIG)
    return path


def test_a_file_that_is_written_while_it_is_sent_ends_too_early(big: Path, root: Path) -> None:
    with HubServer(root) as hub:
        client, begun = start_download(hub)
        with client:
            with big.open("r+b") as file:
                file.seek(BIG // 2)
                file.write(b"new")
            assert 0 < len(received_body(client, begun)) < BIG, (
                "a client must be able to see that the bytes are of no one version"
            )


def test_a_file_that_shrinks_while_it_is_sent_ends_too_early(big: Path, root: Path) -> None:
    with HubServer(root) as hub:
        client, begun = start_download(hub)
        with client:
            os.truncate(big, 1000)
            assert len(received_body(client, begun)) < BIG


def test_a_file_that_is_replaced_while_it_is_sent_arrives_whole(big: Path, root: Path) -> None:
    with HubServer(root) as hub:
        client, begun = start_download(hub)
        with client:
            (root / "new").write_text("new")
            (root / "new").rename(big)
            assert received_body(client, begun) == bytes(BIG)


def test_a_client_that_goes_away_leaves_the_server_working(big: Path, root: Path) -> None:
    with HubServer(root) as hub:
        for _ in range(5):
            client, _ = start_download(hub)
            client.close()
        assert request(hub.url, "/healthz").body == b"ok\n"


def test_closing_lets_a_response_finish_and_ends_idle_connections(big: Path, root: Path) -> None:
    hub = HubServer(root)
    hub.__enter__()
    idle = open_socket(hub.url)
    client, begun = start_download(hub)
    closer = threading.Thread(target=hub.__exit__, args=(None, None, None))
    closer.start()
    with idle, client:
        assert read_to_end(idle) == b""
        assert closer.is_alive(), "the response under way must be waited for"
        assert len(received_body(client, begun)) == BIG
    closer.join(10)
    assert not closer.is_alive()
    with pytest.raises(ConnectionRefusedError):
        open_socket(hub.url)


def test_a_response_that_takes_too_long_is_cut_when_the_server_closes(
    big: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_GRACE_SECONDS", 0.2)
    with HubServer(root) as hub:
        client, begun = start_download(hub)
    with client:
        assert len(received_body(client, begun)) < BIG


def test_further_connections_wait_until_one_ends(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MAX_CONNECTIONS", 2)
    with HubServer(root) as hub:
        first, second = open_socket(hub.url), open_socket(hub.url)
        with second, open_socket(hub.url) as third:
            third.sendall(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
            third.settimeout(0.3)
            with pytest.raises(TimeoutError):
                third.recv(1)
            first.close()
            third.settimeout(30)
            assert read_to_end(third).endswith(b"ok\n")


def test_closing_does_not_wait_for_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MAX_CONNECTIONS", 1)
    with HubServer(root) as hub:
        held = open_socket(hub.url)
        held.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert held.recv(1) == b"H"
        started = time.monotonic()
    held.close()
    assert time.monotonic() - started < 5, "an idle connection would hold it for thirty seconds"


def test_a_shortage_of_threads_costs_a_connection_and_not_the_server(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", exhausted)
        assert exchange(hub.url, b"") == b""
    assert request(hub.url, "/healthz").body == b"ok\n"


def test_a_port_in_use_is_refused(root: Path, hub: HubServer) -> None:
    port = int(hub.url.rpartition(":")[2])
    with pytest.raises(PlatformError, match=f"Address already in use .*127.0.0.1.*{port}"):
        HubServer(root, port=port)
