"""Requests through the ingress on 127.0.0.1."""

import http.client
from http import HTTPStatus

from local_platform.settings import INGRESS_PORT
from tests.platform.waiting import wait_until

UNKNOWN_HOST = (HTTPStatus.NOT_FOUND, b"404 page not found\n")
"""What the ingress answers where no service has the name."""


def wait_until_routed(host: str) -> None:
    """Wait for the ingress to know a host.

    Traefik calls a Knative Ingress ready once it has read it, and its rules follow a moment later.
    """
    wait_until(lambda: ask(host) != UNKNOWN_HOST, f"the ingress does not know {host}")


def ask(host: str, seconds: float = 30, path: str = "/") -> tuple[int, bytes]:
    """Get a path of a host behind the ingress; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", INGRESS_PORT, timeout=seconds)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
