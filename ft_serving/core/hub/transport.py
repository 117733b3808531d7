"""Sends GET requests over pooled connections, follows redirects, and keeps the token at the hub."""

from collections.abc import Mapping
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, parse_url

from ft_serving import __version__
from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.retry import TransientError, asked_wait_s
from ft_serving.core.proxies import Proxy, noted, open_pool, proxy_for, tunnel_status

CONNECT_TIMEOUT_S = 10.0
# A connection that brings nothing for so long is given up and replaced.
READ_TIMEOUT_S = 30.0
REDIRECTS = 5
CONNECTIONS_KEPT = 16

OTHER_ENDPOINT = "check the network, or set HF_ENDPOINT to another hub or mirror"


class StatusError(Exception):
    """A final answer of a host that is not the content asked for; `proxy` has passed it on."""

    def __init__(self, host: str, response: urllib3.BaseHTTPResponse, proxy: Proxy | None) -> None:
        super().__init__(f"{host} answered {response.status}")
        self.host = host
        self.status = response.status
        self.headers = response.headers
        self.proxy = proxy


def reason(error: Exception) -> str:
    """Return the last and plainest part of a message of urllib3, without addresses of objects."""
    return str(error.args[-1] if error.args else error).rpartition(": ")[2].rstrip(".")


def host_of(url: str) -> str:
    """Return an address's scheme, host and port. Messages show no more of it.

    The rest may hold a signature that grants access.
    """
    parts = parse_url(url)
    return f"{parts.scheme}://{parts.netloc}"


class HubTransport:
    """Connections to one hub and to the hosts that it redirects to; threads may share it."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        """Send the token, if any, only to the endpoint's scheme, host and port.

        Raises:
            ProxyError: The environment names a proxy that cannot be one.
        """
        self._hub = urllib3.connection_from_url(endpoint)
        self._token = token
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        proxy_for(endpoint)

    def get(
        self, url: str, headers: Mapping[str, str], *, timeout_s: float | None = None
    ) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Open the content at `url`.

        Args:
            url: Its address.
            headers: Headers beside those that each request has.
            timeout_s: Seconds that the host may be silent; None for `READ_TIMEOUT_S`.

        Returns:
            The response, of status 200 or 206 with its body unread, and the address after
            redirects.

        Raises:
            TransientError: The connection failed, or the status is one that may pass.
            StatusError: Any other status.
        """
        timeout_s = timeout_s or READ_TIMEOUT_S
        for _ in range(REDIRECTS):
            proxy = proxy_for(url)
            response = self._request(url, headers, proxy, timeout_s)
            location = response.get_redirect_location()
            if not location:
                break
            response.close()
            url = _redirected(url, location)
        else:
            raise TransientError(
                f"{host_of(url)} redirected more than {REDIRECTS} times", OTHER_ENDPOINT
            )
        if response.status in (200, 206):
            return response, url
        response.close()
        error = StatusError(host_of(url), response, proxy)
        raise _transient(error) or error

    def _request(
        self, url: str, headers: Mapping[str, str], proxy: Proxy | None, timeout_s: float
    ) -> urllib3.BaseHTTPResponse:
        sent = {"User-Agent": f"ft-serving/{__version__}", "Accept-Encoding": "identity"}
        sent.update(headers)
        if self._token and self._hub.is_same_host(url):
            sent["Authorization"] = f"Bearer {self._token}"
        try:
            return self._pool(proxy).request(
                "GET",
                url,
                headers=sent,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
            )
        except (HTTPError, OSError) as exc:
            raise _unreachable(host_of(url), exc, proxy) from exc

    def _pool(self, proxy: Proxy | None) -> urllib3.PoolManager:
        address = proxy.address if proxy else None
        pool = self._pools.get(address)
        # Several threads may open one at once: the first is everybody's.
        return pool or self._pools.setdefault(address, open_pool(proxy, maxsize=CONNECTIONS_KEPT))


def _transient(error: StatusError) -> TransientError | None:
    """Return the error for a status that may pass; None for any other."""
    if error.status not in (408, 429) and error.status < 500:
        return None
    remedy = noted("the hub is overloaded or limits this address: try again later", error.proxy)
    return TransientError(str(error), remedy, asked_wait_s(error.headers))


def _unreachable(
    host: str, cause: Exception, proxy: Proxy | None
) -> TransientError | FtServingError:
    """Return the error for a connection that could not be made, or failed before any answer."""
    if proxy is None:
        return TransientError(f"cannot reach {host} ({reason(cause)})", OTHER_ENDPOINT)
    status = tunnel_status(cause)
    if status is None:
        said = f"cannot reach {host} through {proxy} ({reason(cause)})"
        return TransientError(said, f"check the proxy, or, {proxy.remedy}")
    said = f"cannot reach {host}: {proxy.refusal(status)}"
    return FtServingError(said) if status < 500 else TransientError(said, OTHER_ENDPOINT)


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        parse_url(target)
    except ValueError as exc:
        raise TransientError(
            f"{host_of(url)} redirected to something that is no address", OTHER_ENDPOINT
        ) from exc
    return target
