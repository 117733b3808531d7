"""Requests to a mirror without huggingface_hub in between."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response.

    Attributes:
        status: its status.
        headers: its header fields, looked up without regard to case.
        body: its body.
    """

    status: int
    headers: Message
    body: bytes


def connect(url: str) -> http.client.HTTPConnection:
    """Make a connection to a mirror, opened by its first request."""
    address = urlsplit(url)
    assert address.hostname is not None
    return http.client.HTTPConnection(address.hostname, address.port, timeout=30)


def request(
    url: str, target: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> Answer:
    """Send one request over a connection of its own."""
    connection = connect(url)
    try:
        connection.request(method, target, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(status=response.status, headers=response.headers, body=response.read())
    finally:
        connection.close()


def open_socket(url: str) -> socket.socket:
    """Open a plain connection to a mirror."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def exchange(url: str, sent: bytes) -> bytes:
    """Send bytes, and read until the mirror closes the connection."""
    with open_socket(url) as client:
        client.sendall(sent)
        return read_to_end(client)


def read_to_end(client: socket.socket) -> bytes:
    """Read until the other side closes the connection."""
    received = bytearray()
    while chunk := client.recv(1 << 16):
        received += chunk
    return bytes(received)
