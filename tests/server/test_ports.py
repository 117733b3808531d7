"""Ports are checked before anything is started."""

import socket

import pytest

from ft_serving.server.errors import ServerError
from ft_serving.server.process import Ports
from tests.serving import free_ports


def test_free_ports_pass() -> None:
    http, grpc, metrics = free_ports(3)
    ports = Ports(http=http, grpc=grpc, metrics=metrics)
    ports.check()
    ports.check()


def test_taken_ports_are_all_named_with_their_options() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (free,) = free_ports(1)
        with pytest.raises(ServerError) as caught:
            Ports(http=port, grpc=free, metrics=port).check()
    assert str(caught.value) == (
        "cannot listen on a port:\n"
        f"  {port}: Address already in use; name another with --http-port\n"
        f"  {port}: Address already in use; name another with --metrics-port"
    )


def test_one_port_cannot_serve_twice() -> None:
    (port,) = free_ports(1)
    with pytest.raises(ServerError, match=f"{port}: Address already in use.*--grpc-port"):
        Ports(http=port, grpc=port, metrics=free_ports(1)[0]).check()
