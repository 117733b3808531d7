"""GET over pooled connections: redirects, proxies, and a token that only the hub gets to see."""

import urllib.request
from collections.abc import Mapping
from urllib.parse import unquote, urljoin

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Timeout, Url, make_headers, parse_url

from ft_serving import __version__
from ft_serving.hub.errors import HubError
from ft_serving.hub.retry import TransientError, asked_wait_s

CONNECT_TIMEOUT_S = 10.0
# A connection that brings nothing for so long is given up and replaced.
READ_TIMEOUT_S = 30.0
REDIRECTS = 5
CONNECTIONS_KEPT = 16

OTHER_ENDPOINT = "check the network, or set HF_ENDPOINT to another hub or mirror"


class StatusError(Exception):
    """A final answer that is not the content asked for."""

    def __init__(self, host: str, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"{host} answered {status}")
        self.host = host
        self.status = status
        self.headers = headers


def transient(host: str, status: int, headers: Mapping[str, str]) -> TransientError | None:
    """The error for a status after which another try makes sense; None for any other."""
    if status not in (408, 429) and status < 500:
        return None
    return TransientError(
        f"{host} answered {status}",
        "the hub is overloaded or limits this address: try again later",
        asked_wait_s(headers),
    )


def unreachable(host: str, cause: Exception) -> TransientError:
    """The error for a connection that could not be made, or failed before any answer."""
    return TransientError(f"cannot reach {host} ({reason(cause)})", OTHER_ENDPOINT)


def reason(error: Exception) -> str:
    """The last and plainest part of an HTTP library's message, without addresses of objects."""
    return str(error.args[-1] if error.args else error).rpartition(": ")[2].rstrip(".")


def host_of(url: str) -> str:
    """Scheme, host and port: all of an address that is fit for a message.

    What follows may be a signature that grants access.
    """
    parts = parse_url(url)
    return f"{parts.scheme}://{parts.netloc}"


def web_address(text: str) -> Url | None:
    """The parts of an http(s) address; None if it is none."""
    try:
        parts = parse_url(text)
    except LocationParseError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.host else None


class Transport:
    """Connections to one hub and to whatever hosts it redirects to; safe between threads."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        """Send `token`, if any, to the scheme, host and port of `endpoint` and nowhere else.

        Raises:
            HubError: The environment names a proxy that cannot be one.
        """
        self._origin = _origin(endpoint)
        self._token = token
        # The hub's own client takes the environment's proxies, so the files must come that way too.
        proxies = urllib.request.getproxies()
        self._proxies: dict[str, urllib3.PoolManager] = {}
        for scheme in ("http", "https"):
            name = scheme if proxies.get(scheme) else "all"
            if address := proxies.get(name):
                self._proxies[scheme] = _proxy(name, address)
        self._direct = urllib3.PoolManager(maxsize=CONNECTIONS_KEPT)

    def get(self, url: str, headers: Mapping[str, str]) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Open the content at `url`.

        Returns:
            The response, of status 200 or 206 with its body unread, and the address that it came
            from, which after redirects is another.

        Raises:
            TransientError: Connection, or a status after which another try makes sense.
            StatusError: Any other status.
        """
        for _ in range(REDIRECTS):
            response = self._request(url, headers)
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
        answer = host_of(url), response.status, response.headers
        raise transient(*answer) or StatusError(*answer)

    def _request(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        sent = {"User-Agent": f"ft-serving/{__version__}", "Accept-Encoding": "identity"}
        sent.update(headers)
        if self._token and _origin(url) == self._origin:
            sent["Authorization"] = f"Bearer {self._token}"
        parts = parse_url(url)
        pool: urllib3.PoolManager = self._direct
        if not urllib.request.proxy_bypass(parts.netloc or ""):
            pool = self._proxies.get(parts.scheme or "", self._direct)
        try:
            return pool.request(
                "GET",
                url,
                headers=sent,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            )
        except (HTTPError, OSError) as exc:
            raise unreachable(host_of(url), exc) from exc


def _proxy(name: str, address: str) -> urllib3.PoolManager:
    parts = web_address(address if "://" in address else f"http://{address}")
    if parts is None:
        # The address itself is not shown: it may hold a password.
        raise HubError(
            f"{name.upper()}_PROXY: must be the address of an HTTP proxy, such as "
            "http://proxy.example:3128; what was given is not"
        )
    return urllib3.ProxyManager(
        f"{parts.scheme}://{parts.netloc}",
        maxsize=CONNECTIONS_KEPT,
        proxy_headers=make_headers(proxy_basic_auth=unquote(parts.auth or "") or None),
    )


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        parse_url(target)
    except ValueError as exc:
        raise TransientError(
            f"{host_of(url)} redirected to something that is no address", OTHER_ENDPOINT
        ) from exc
    return target


def _origin(url: str) -> tuple[str | None, str | None, int | None]:
    parts = parse_url(url)
    default = {"http": 80, "https": 443}.get(parts.scheme or "")
    return parts.scheme, parts.host, parts.port or default
