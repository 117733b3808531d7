"""Where a server is and how to talk to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from ft_serving.client.errors import InvalidRequestError
from ft_serving.core.protocol import InferenceProtocol

TOKEN_VARIABLE = "FT_SERVING_TOKEN"  # noqa: S105 (the variable's name, not its value)
"""Environment variable that holds the bearer token."""

EXAMPLES = "http://HOST:8000, https://HOST, HOST:8000 or grpc://HOST:8001"


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A server's address and what is shown to get in.

    Attributes:
        protocol: HTTP or gRPC.
        tls: Whether the connection is encrypted and the server's certificate checked.
        host: Name or address; an IPv6 address in brackets.
        port: TCP port.
        path: What precedes /v2 in HTTP paths; empty, or with a leading slash.
        host_header: The name that an ingress routes by, if it is not `host`.
        ca_file: Certificates to trust instead of the system's (PEM).
        token: Bearer token; sent to this endpoint alone, and in no message.
        names_port: Whether the address named a port; else it is that of the web.
    """

    protocol: InferenceProtocol
    tls: bool
    host: str
    port: int
    path: str = ""
    host_header: str | None = None
    ca_file: Path | None = None
    token: str | None = field(default=None, repr=False)
    names_port: bool = True

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        protocol: InferenceProtocol | None = None,
        host_header: str | None = None,
        ca_file: Path | None = None,
        token: str | None = None,
    ) -> Self:
        """Read an address.

        Args:
            url: `http://`, `https://`, `grpc://` or `grpcs://`, or a host and port alone, which
                means no TLS. The port is by default that of the web, 80 or 443, where an ingress
                listens.
            protocol: By default the one that the address names; HTTP, where it names none.
            host_header: See the class.
            ca_file: See the class.
            token: See the class.

        Raises:
            InvalidRequestError: One of them is not what it should be.
        """
        # What is refused here may be, or hold, a password: it is not repeated.
        if "@" in url or "?" in url:
            raise InvalidRequestError(
                "The address must not hold a user, password or query; to show who you are, set "
                f"{TOKEN_VARIABLE} to a token"
            )
        try:
            parts = parse_url(url if "://" in url else f"//{url}")
        except LocationParseError as exc:
            raise InvalidRequestError(f"The address must be like {EXAMPLES}; got {url!r}") from exc
        scheme, host = parts.scheme or (protocol or InferenceProtocol.HTTP), parts.host
        if scheme not in ("http", "https", "grpc", "grpcs") or not host:
            raise InvalidRequestError(f"The address must be like {EXAMPLES}; got {url!r}")
        if scheme.startswith("grpc") and protocol is InferenceProtocol.HTTP:
            raise InvalidRequestError(
                f"The protocol is http, but the address is {url}; leave one out"
            )
        if scheme.startswith("grpc"):
            protocol = InferenceProtocol.GRPC
        protocol = protocol or InferenceProtocol.HTTP
        path = (parts.path or "").rstrip("/")
        if path and protocol is InferenceProtocol.GRPC:
            raise InvalidRequestError(f"A gRPC address has no path; got {url!r}")
        tls = scheme.endswith("s")
        if ca_file is not None:
            _check_certificates(ca_file, tls)
        return cls(
            protocol=protocol,
            tls=tls,
            host=host,
            port=parts.port or (443 if tls else 80),
            path=path,
            host_header=_checked_host(host_header),
            ca_file=ca_file,
            token=_checked_token(token),
            names_port=parts.port is not None,
        )

    def __str__(self) -> str:
        """The address, for messages."""
        routed = f" (host {self.host_header})" if self.host_header else ""
        return f"{self.protocol}{'s' * self.tls}://{self.authority}{self.path}{routed}"

    @property
    def port_hint(self) -> str:
        """A remark for messages that no Triton is found; empty where the address has a port.

        Triton itself has no TLS: with it, an ingress listens, on the port of the web.
        """
        if self.names_port or self.tls:
            return ""
        own = 8001 if self.protocol is InferenceProtocol.GRPC else 8000
        return f" (no port was given, so {self.port} is asked; Triton's own is {own})"

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"


def token_from_environment(environment: Mapping[str, str]) -> str | None:
    """The bearer token, or None where none is set."""
    # Tokens from mounted files end in a newline.
    return environment.get(TOKEN_VARIABLE, "").strip() or None


def _checked_token(token: str | None) -> str | None:
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise InvalidRequestError(
            f"{TOKEN_VARIABLE}: must be printable ASCII without spaces; what was given is not"
        )
    return token


def _checked_host(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z0-9._-]+(:\d+)?", name):
        raise InvalidRequestError(
            f"The host header must be a host's name, such as ft.models.example.com; got {name!r}"
        )
    return name


def _check_certificates(ca_file: Path, tls: bool) -> None:
    if not tls:
        raise InvalidRequestError(f"Certificates ({ca_file}) need an https:// or grpcs:// address")
    if not ca_file.is_file():
        raise InvalidRequestError(f"{ca_file}: no such file of certificates")
