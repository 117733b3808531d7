"""The port forwards that slirp4netns is asked for."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_platform.node import uplink


class Slirp:
    """Stands for slirp4netns: takes one request, to its end, and gives one answer."""

    def __init__(self, path: Path) -> None:
        self.answer = '{"return": {"id": 1}}'
        self.request = b""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            while received := connection.recv(100):
                self.request += received
            connection.sendall(self.answer.encode())

    def close(self) -> None:
        self._thread.join()
        self._listening.close()


@pytest.fixture
def slirp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slirp]:
    path = tmp_path / "slirp.sock"
    monkeypatch.setattr(uplink, "_API_SOCKET", path)
    slirp = Slirp(path)
    yield slirp
    slirp.close()


def test_a_port_is_forwarded_from_the_loopback_only(slirp: Slirp) -> None:
    uplink._forward(8080)

    assert json.loads(slirp.request) == {
        "execute": "add_hostfwd",
        "arguments": {
            "proto": "tcp",
            "host_addr": "127.0.0.1",
            "host_port": 8080,
            "guest_addr": "10.0.2.100",
            "guest_port": 8080,
        },
    }, "slirp4netns(1), API SOCKET; any other host address would open it to the network"


def test_a_port_that_cannot_be_forwarded_is_named_with_the_reason(slirp: Slirp) -> None:
    slirp.answer = '{"error": {"desc": "bad request: add_hostfwd: slirp_add_hostfwd failed"}}'

    with pytest.raises(OSError, match=r"^127\.0\.0\.1:8080 cannot be forwarded: bad request: add"):
        uplink._forward(8080)
