"""The port forwards that slirp4netns is asked for."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local_platform.node import uplink


def test_a_port_is_forwarded_only_from_the_loopback_and_a_refusal_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slirp.sock"
    monkeypatch.setattr(uplink, "_API_SOCKET", path)
    with socket.socket(socket.AF_UNIX) as listening, ThreadPoolExecutor() as pool:
        listening.bind(str(path))
        listening.listen()

        def forward(answer: str) -> bytes:
            asking = pool.submit(uplink._forward, 8080)
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as file:
                request = file.read()
                connection.sendall(answer.encode())
            asking.result()
            return request

        assert json.loads(forward('{"return": {"id": 1}}')) == {
            "execute": "add_hostfwd",
            "arguments": {
                "proto": "tcp",
                "host_addr": "127.0.0.1",
                "host_port": 8080,
                "guest_addr": "10.0.2.100",
                "guest_port": 8080,
            },
        }, "slirp4netns(1), API SOCKET; any other host address would open it to the network"
        with pytest.raises(OSError, match=r"^127\.0\.0\.1:8080 cannot be forwarded: bad request"):
            forward('{"error": {"desc": "bad request: add_hostfwd failed"}}')
