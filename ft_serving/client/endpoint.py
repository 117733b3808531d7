"""Reads a server's address, and the token and certificates for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from ft_serving.client.errors import InvalidRequestError
from ft_serving.core.protocol import InferenceProtocol

TOKEN_VARIABLE = "FT_SERVING_TOKEN"  # noqa: S105 (the variable's name, not its value)
"""Environment variable that holds the bearer token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A server's address, and the credentials for it.

    Attributes:
        protocol: HTTP or gRPC.
        tls: Whether the connection is encrypted and the server's certificate checked.
        host: Name or address; an IPv6 address in brackets.
        port: TCP port.
        path: The part of HTTP paths before /v2; empty, or with a leading slash.
        host_header: The name that an ingress routes by, if it is not `host`.
        ca_file: Certificates to trust instead of the system's (PEM).
        token: Bearer token; sent to this endpoint only, and in no message.
        names_port: Whether the address named a port; without one it is 80 or 443.
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

    def __post_init__(self) -> None:
        """Check the attributes that go into requests.

        Raises:
            InvalidRequestError: Something cannot be used; a token is not repeated.
        """
        if self.ca_file and not self.tls:
            raise InvalidRequestError(
                f"Certificates ({self.ca_file}) need an https:// or grpcs:// address"
            )
        if self.ca_file and not self.ca_file.is_file():
            raise InvalidRequestError(f"{self.ca_file}: no such file of certificates")
        name, token = self.host_header, self.token
        if name is not None and not re.fullmatch(r"[A-Za-z0-9._-]+(:\d+)?", name):
            raise InvalidRequestError(
                "The host header must be a host's name, such as ft.models.example.com; got "
                f"{name!r}"
            )
        if token is not None and not re.fullmatch(r"[!-~]+", token):
            raise InvalidRequestError(
                f"{TOKEN_VARIABLE}: must be printable ASCII without spaces; what was given is not"
            )

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
        """Return the endpoint at an address; the other arguments are the class's attributes.

        The address has a scheme, `http://`, `https://`, `grpc://` or `grpcs://`, or only a host and
        port, which means no TLS. The default port is 80 or 443, where an ingress listens; the
        default protocol is the one of the scheme, or HTTP.

        Raises:
            InvalidRequestError: One of them is not what it should be.
        """
        # The refused address may hold a password, so the message does not repeat it.
        if "@" in url or "?" in url:
            raise InvalidRequestError(
                "The address must not hold a user, password or query; to show who you are, set "
                f"{TOKEN_VARIABLE} to a token"
            )
        try:
            parts = parse_url(url if "://" in url else f"//{url}")
        except LocationParseError:
            parts = Url()
        scheme = parts.scheme or (protocol or InferenceProtocol.HTTP)
        if scheme not in ("http", "https", "grpc", "grpcs") or not parts.host:
            raise InvalidRequestError(
                "The address must be like http://HOST:8000, https://HOST, HOST:8000 or "
                f"grpc://HOST:8001; got {url!r}"
            )
        is_grpc, tls = scheme.startswith("grpc"), scheme.endswith("s")
        if is_grpc and protocol is InferenceProtocol.HTTP:
            raise InvalidRequestError(
                f"The protocol is http, but the address is {url}; leave one out"
            )
        protocol = InferenceProtocol.GRPC if is_grpc else protocol or InferenceProtocol.HTTP
        path = (parts.path or "").rstrip("/")
        if path and protocol is InferenceProtocol.GRPC:
            raise InvalidRequestError(f"A gRPC address has no path; got {url!r}")
        return cls(
            protocol=protocol,
            tls=tls,
            host=parts.host,
            port=parts.port or (443 if tls else 80),
            path=path,
            host_header=host_header,
            ca_file=ca_file,
            token=token,
            names_port=parts.port is not None,
        )

    def __str__(self) -> str:
        """Return the address, for messages."""
        routed = f" (host {self.host_header})" if self.host_header else ""
        return f"{self.protocol}{'s' * self.tls}://{self.authority}{self.path}{routed}"

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    @property
    def port_hint(self) -> str:
        """A remark for messages where the address names no port; empty where it does.

        Triton itself has no TLS, so that an ingress answers at an address with TLS.
        """
        if self.names_port or self.tls:
            return ""
        own = 8001 if self.protocol is InferenceProtocol.GRPC else 8000
        return f" (no port was given, so {self.port} is asked; Triton's own is {own})"


def token_from_environment(environment: Mapping[str, str]) -> str | None:
    """Return the bearer token, or None where none is set."""
    # Tokens from mounted files end in a newline.
    return environment.get(TOKEN_VARIABLE, "").strip() or None
