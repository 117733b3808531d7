"""Requests through the ingress on 127.0.0.1."""

import http.client

from local_platform.settings import INGRESS_PORT


def ask(host: str, seconds: float = 30) -> tuple[int, bytes]:
    """Get `/` of a host behind the ingress; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", INGRESS_PORT, timeout=seconds)
    try:
        connection.request("GET", "/", headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
