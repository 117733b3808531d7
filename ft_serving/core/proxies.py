"""Reads the environment's proxies, by curl's rules. No other module reads them.

`http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` count, each before its name in upper case.
Loopback addresses are always asked directly: no proxy elsewhere reaches this machine's.
"""

import base64
import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

import urllib3
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from ft_serving.core.errors import ProxyError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """A proxy, on the way to one host.

    Attributes:
        address: Scheme, host and port.
        source: The environment variable, or the kubeconfig's field, that names it.
        host: The host that the user asks through it.
        headers: The headers by which the user logs in to it, if its address holds a user.
    """

    address: str
    source: str
    host: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """The proxy, for messages."""
        return f"the proxy {self.address} ({self.source})"

    @property
    def note(self) -> str:
        """The sentence that follows an error that the proxy may have caused."""
        return f"It was asked through {self}, which may be the cause; {self.remedy}"

    @property
    def remedy(self) -> str:
        """The user's way to do without the proxy."""
        return f"to go past the proxy, add {self.host} to NO_PROXY"

    def refusal(self, status: int) -> str:
        """Return a message that the proxy does not open a connection to the host.

        Args:
            status: The HTTP status that it answers.
        """
        if status != 407:
            return f"{self} does not lead to {self.host}: it answers {status}; {self.remedy}"
        login = "another user and password" if self.headers else "a user and password"
        return (
            f"{self} wants {login}: write them into its address, as in "
            f"http://USER:PASSWORD@HOST:3128, or, {self.remedy}"
        )


def proxy_for(url: str, *, configured: tuple[str, str] | None = None) -> Proxy | None:
    """Return the proxy on the way to an address; None where there is none.

    Args:
        url: An http or https address.
        configured: The setting and the value of a proxy for this address only, which goes before
            the environment's. It may lead to a loopback address, of the proxy's machine.

    Raises:
        ProxyError: The proxy cannot be used.
    """
    parts = parse_url(url)
    scheme, host = parts.scheme or "http", (parts.host or "").strip("[]").rstrip(".").lower()
    named = configured or (None if _is_loopback(host) else _named(scheme))
    if not named or _is_excluded(host, parts.port or _PORTS.get(scheme)):
        return None
    return _parsed(*named, host)


def open_pool(proxy: Proxy | None, **settings: Any) -> urllib3.PoolManager:  # noqa: ANN401
    """Return connections through a proxy, or direct ones; `settings` are urllib3's."""
    if proxy is None:
        return urllib3.PoolManager(**settings)
    return urllib3.ProxyManager(proxy.address, proxy_headers=proxy.headers, **settings)


def noted(text: str, proxy: Proxy | None) -> str:
    """Return a message with the note on the proxy that may be the cause, if there is one."""
    return f"{text}. {proxy.note}" if proxy else text


def blamed(reason: str, proxy: Proxy | None, error: Exception) -> str:
    """Return why a request failed, with the proxy that it went through, if any.

    Args:
        reason: Why, as far as it is known without the proxy.
        proxy: The proxy.
        error: The error that urllib3 raised.
    """
    status = tunnel_status(error)
    return noted(reason, proxy) if proxy is None or status is None else proxy.refusal(status)


def tunnel_status(error: Exception) -> int | None:
    """Return the status by which a proxy refused to connect; None if an error is not about that.

    Args:
        error: One of urllib3.
    """
    found = re.search(r"Tunnel connection failed: (\d+)", str(error))
    return int(found[1]) if found else None


def _parsed(source: str, address: str, host: str) -> Proxy:
    try:
        parts = parse_url(address if "://" in address else f"http://{address}")
    except LocationParseError:
        parts = None
    if parts is None or parts.scheme not in _PORTS or not parts.host:
        scheme = address.partition("://")[0].lower() if "://" in address else "http"
        given = "another text" if scheme in _PORTS else f"an address that starts with {scheme}://"
        raise ProxyError(
            f"{source}: must be the address of an HTTP proxy, such as http://proxy.example:3128; "
            f"got {given}. To ask {host} without it, add {host} to NO_PROXY"
        )
    headers = {}
    if parts.auth:
        login = base64.b64encode(unquote_to_bytes(parts.auth)).decode()
        headers["proxy-authorization"] = f"Basic {login}"
    port = parts.port or _PORTS[parts.scheme]
    return Proxy(
        address=f"{parts.scheme}://{parts.host}:{port}", source=source, host=host, headers=headers
    )


def _named(scheme: str) -> tuple[str, str] | None:
    """Return the variable that names the proxy for a scheme, and its value."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            # In a CGI script it holds the header `Proxy` that a web server's client sent.
            if variable == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ:
                continue
            if value := os.environ.get(variable, "").strip():
                return variable, value
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _ip_address(host)
    return address is not None and address.is_loopback


def _is_excluded(host: str, port: int | None) -> bool:
    """Tell whether no_proxy names a host: itself, its domain, its network, or all hosts."""
    excluded = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    return any(
        _names(entry.lower(), host, port) for entry in re.split(r"[\s,]+", excluded) if entry
    )


def _names(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    named = re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", entry)
    if named:
        entry = named[1]
        if int(named[2]) != port:
            return False
    entry = entry.strip("[]").strip(".")
    address = _ip_address(host)
    if address is None:
        return bool(entry) and f".{host}".endswith(f".{entry}")
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
