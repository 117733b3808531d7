"""What the two protocols have in common."""

from collections.abc import Generator, Mapping
from typing import Any, Protocol

import numpy.typing as npt

from ft_serving.client.answer import Answer
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.errors import (
    ClientError,
    InvalidRequestError,
    SlowError,
    UnavailableError,
)
from ft_serving.client.model import ModelDescription
from ft_serving.core.errors import ProxyError
from ft_serving.core.proxies import Proxy, proxy_for

CONNECT_TIMEOUT_S = 10.0

Inputs = Mapping[str, npt.NDArray[Any]]


class Transport(Protocol):
    """Connections to one server, for one model; safe between threads.

    Every method raises a ClientError: an UnavailableError where another try may help, a SlowError
    where a request takes longer than it may.
    """

    @property
    def streams_batches(self) -> bool:
        """Whether `stream` takes inputs of more than one row."""

    def describe(self, timeout_s: float) -> ModelDescription:
        """Ask for the model's configuration, which Triton gives only once the model is ready."""

    def infer(self, inputs: Inputs) -> Answer:
        """Ask a model that is not decoupled."""

    def stream(self, inputs: Inputs) -> Generator[Answer, None, None]:
        """Ask for a response a token, each with all tokens so far; closing it cancels."""

    def close(self) -> None:
        """Close the connections."""


def too_slow(endpoint: Endpoint, timeout_s: float) -> SlowError:
    """The error for an answer that has not come."""
    return SlowError(
        f"{endpoint} did not answer within {timeout_s:g} s; ask for fewer tokens, or allow more "
        "time (--timeout)"
    )


def proxy_of(endpoint: Endpoint) -> Proxy | None:
    """The proxy that the environment names for a server, if any.

    Raises:
        InvalidRequestError: It cannot be used.
    """
    try:
        return proxy_for(f"{'https' if endpoint.tls else 'http'}://{endpoint.authority}")
    except ProxyError as exc:
        raise InvalidRequestError(str(exc)) from exc


def noted(error: ClientError, proxy: Proxy | None) -> ClientError:
    """The error, with the proxy that may be its cause, if the server was asked through one."""
    return type(error)(f"{error}. {proxy.note}") if proxy else error


def unreachable(endpoint: Endpoint, reason: str, proxy: Proxy | None) -> UnavailableError:
    """The error for a connection that was refused or broke."""
    asked = f"{endpoint}{endpoint.port_hint}"
    if proxy is None:
        return UnavailableError(f"cannot reach {asked} ({reason})")
    return UnavailableError(f"cannot reach {asked} through {proxy} ({reason}); {proxy.remedy}")


def not_through(endpoint: Endpoint, proxy: Proxy, status: int) -> ClientError:
    """The error for a proxy that does not open a connection, as its answer's status says."""
    # It cannot reach the server, which may be starting.
    kind = UnavailableError if status >= 500 else ClientError
    return kind(f"cannot reach {endpoint}: {proxy.refusal(status)}")


def not_trusted(endpoint: Endpoint, reason: str) -> ClientError:
    """The error for a TLS handshake that failed."""
    return ClientError(
        f"{endpoint}: no secure connection ({reason}). If its certificate is signed by an "
        "authority of your own, give that one's certificate (--ca-file); if the address is an "
        "ingress's own, the certificate's name (--host-header); if it has no TLS, an address "
        f"that starts with {endpoint.protocol}://"
    )
