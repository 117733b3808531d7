"""Requests through the ingress on 127.0.0.1."""

import http.client
from http import HTTPStatus

from local_platform.settings import INGRESS_PORT
from tests.platform.waiting import wait_until

UNKNOWN_HOST = (HTTPStatus.NOT_FOUND, b"404 page not found\n")
"""The answer of the ingress if no service has the name."""


_ON_THE_WAY = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


def wait_until_routed(host: str, seconds: float = 30) -> None:
    """Wait for the ingress to know a host, and for kube-proxy to know its Service.

    Traefik calls a Knative Ingress ready once it has read it, and its rules follow a moment later.
    """

    def routed() -> bool:
        answer = ask(host, seconds)
        return answer != UNKNOWN_HOST and answer[0] not in _ON_THE_WAY

    wait_until(routed, f"nothing leads to {host}", seconds)


def ask(host: str, seconds: float = 30, path: str = "/") -> tuple[int, bytes]:
    """Get a path of a host behind the ingress; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", INGRESS_PORT, timeout=seconds)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
