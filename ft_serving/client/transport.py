"""Defines the connections to a server, and says in its users' words how a request failed.

Triton says the same over HTTP and gRPC; only the status differs, and a gRPC status is put into
HTTP's terms. Other answers come from an ingress, Knative's activator and queue proxy, or an
authenticating gateway in front of Triton.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy.typing as npt

from ft_serving.client.answer import Answer
from ft_serving.client.endpoint import TOKEN_VARIABLE, Endpoint
from ft_serving.client.errors import (
    ClientError,
    GatewayTimeoutError,
    InvalidRequestError,
    OverloadError,
    SlowError,
    UnavailableError,
    UnknownHostError,
    UnknownModelError,
)
from ft_serving.client.model import ModelDescription
from ft_serving.core.errors import ProxyError
from ft_serving.core.proxies import Proxy, proxy_for

Inputs = Mapping[str, npt.NDArray[Any]]

# Triton's scheduler, and Knative's queue proxy (containerConcurrency).
_QUEUE_FULL = ("exceeds maximum queue size", "pending request queue full")
# Triton's checks of a request against config.pbtxt.
_MISMATCH = ("data-type is", "unexpected shape", "batch size", "unexpected inference input")
# Envoy's words, which gRPC reports as UNAVAILABLE.
_GATEWAY_TIMEOUT = "upstream request timeout"
# Triton's Python backend, whose process for the model has died; the server ends a moment later.
_DEAD = "stub process"


class Transport(ABC):
    """Connections to one server, for one model; threads may share them.

    Every method raises a ClientError: an UnavailableError where another try may help, a SlowError
    where a request takes longer than it may.
    """

    streams_batches: ClassVar[bool]
    """True if `stream` takes inputs of more than one row."""

    def __init__(self, endpoint: Endpoint, model: str, timeout_s: float) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: The server.
            model: The model's name there.
            timeout_s: Seconds that an inference may take, a whole stream included.

        Raises:
            InvalidRequestError: The environment names a proxy that cannot be used, or the file of
                certificates cannot be read.
        """
        self._endpoint = endpoint
        self._model = model
        self._timeout_s = timeout_s
        try:
            self._proxy = proxy_for(f"http{'s' * endpoint.tls}://{endpoint.authority}")
        except ProxyError as exc:
            raise InvalidRequestError(str(exc)) from exc

    def describe(self, timeout_s: float) -> ModelDescription:
        """Ask for the model's configuration, which Triton gives once the model is ready."""
        try:
            return ModelDescription.from_config(self._config(timeout_s))
        except SlowError as exc:
            raise self._unreachable(f"no answer within {timeout_s:g} s") from exc

    @abstractmethod
    def infer(self, inputs: Inputs) -> Answer:
        """Ask a model that is not decoupled."""

    @abstractmethod
    def stream(self, inputs: Inputs) -> Generator[Answer, None, None]:
        """Ask for a response a token, each with all tokens so far; closing it cancels."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    @abstractmethod
    def _config(self, timeout_s: float) -> Mapping[str, Any]:
        """Ask for Triton's `ModelConfig` message, as JSON."""

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Read an answer; what is missing or wrong in it becomes a ClientError."""
        try:
            yield
        except (KeyError, TypeError, ValueError) as exc:
            raise ClientError(
                f"{self._endpoint}: the answer is not one of the inference protocol ({exc!r})"
            ) from exc

    def _noted(self, error: ClientError) -> ClientError:
        """Return the error with the proxy that may be its cause, if there is one."""
        return type(error)(f"{error}. {self._proxy.note}") if self._proxy else error

    def _too_slow(self, timeout_s: float) -> ClientError:
        return self._noted(
            SlowError(
                f"{self._endpoint} did not answer within {timeout_s:g} s; ask for fewer tokens, or "
                "allow more time (--timeout)"
            )
        )

    def _unreachable(self, reason: str) -> ClientError:
        asked = f"cannot reach {self._endpoint}{self._endpoint.port_hint}"
        if self._proxy is None:
            return UnavailableError(f"{asked} ({reason})")
        return UnavailableError(f"{asked} through {self._proxy} ({reason}); {self._proxy.remedy}")

    def _no_address(self, reason: str) -> ClientError:
        return UnknownHostError(f"No address is known for {self._endpoint.host!r} ({reason})")

    def _not_trusted(self, reason: str) -> ClientError:
        return self._noted(
            ClientError(
                f"{self._endpoint}: no secure connection ({reason}). If its certificate is signed "
                "by an authority of your own, give that one's certificate (--ca-file); if the "
                "address is an ingress's own, the certificate's name (--host-header); if it has no "
                f"TLS, an address that starts with {self._endpoint.protocol}://"
            )
        )

    def _refused(
        self, status: int, said: str, *, from_triton: bool, location: str | None = None
    ) -> ClientError:
        """Return the error for an answer that is not the one asked for.

        Args:
            status: HTTP status, or the one that a gRPC status stands for.
            said: The answer's text.
            from_triton: Whether Triton gave it, and not a gateway or a proxy.
            location: The address that a redirect leads to.
        """
        if self._proxy and not from_triton and status == 407:
            return self._not_through(self._proxy, status)
        error = self._explained(status, said.strip(), from_triton, location)
        return error if from_triton else self._noted(error)

    def _not_through(self, proxy: Proxy, status: int) -> ClientError:
        """Return the error for a proxy that answers so instead of opening a connection."""
        # A proxy that cannot reach the server may be waiting for it to start.
        kind = UnavailableError if status >= 500 else ClientError
        return kind(f"cannot reach {self._endpoint}: {proxy.refusal(status)}")

    def _explained(
        self, status: int, said: str, from_triton: bool, location: str | None
    ) -> ClientError:
        words = said.lower()
        answered = f"{self._endpoint} answered {status}" + (f": {said}" if said else "")
        if status in (401, 403):
            return self._denied(status, answered)
        if status == 429 or any(phrase in words for phrase in _QUEUE_FULL):
            return OverloadError(
                f"{answered}. Its queue is full: send fewer requests at once, or let it have more "
                "replicas"
            )
        if "unknown model" in words and "not found" in words:
            return UnknownModelError(
                f"{self._endpoint} has no model {self._model!r}. Name one that it serves, as its "
                "log lists them"
            )
        # Triton knows the model and is loading it.
        loading = "no available versions" in words or "not ready" in words
        if not loading and (status == 504 or _GATEWAY_TIMEOUT in words):
            return GatewayTimeoutError(answered)
        if loading or _DEAD in words or status in (502, 503):
            return UnavailableError(f"{self._model!r} is not ready: {answered}")
        if status == 404:
            return self._nowhere(from_triton, answered)
        if location:
            return ClientError(f"{self._endpoint} redirects to {location}; use that address")
        remedy = self._remedy(status, words, from_triton)
        kind = InvalidRequestError if status == 400 and not remedy else ClientError
        return kind(answered + remedy)

    def _denied(self, status: int, answered: str) -> ClientError:
        if not self._endpoint.token:
            remedy = "a bearer token" if status == 401 else "a token that may"
            return ClientError(f"{answered}. Set {TOKEN_VARIABLE} to {remedy}")
        if status == 403:
            return ClientError(f"{answered}. The token in {TOKEN_VARIABLE} may not use it")
        return ClientError(f"{answered}. It rejected the token in {TOKEN_VARIABLE}; get another")

    def _nowhere(self, from_triton: bool, answered: str) -> ClientError:
        if from_triton:
            return UnknownModelError(f"{answered}. Is the path of the address right?")
        routed = self._endpoint.host_header or self._endpoint.host
        return UnknownModelError(
            f"{answered}. An ingress knows nothing of {routed!r}: give the name of the service as "
            "the host header (--host-header); `kubectl get inferenceservice` shows it under URL"
            + ("" if self._endpoint.host_header else self._endpoint.port_hint)
        )

    def _remedy(self, status: int, words: str, from_triton: bool) -> str:
        if any(phrase in words for phrase in _MISMATCH):
            return (
                ". The client made the request after the server's own configuration of "
                f"{self._model!r}; has it changed since?"
            )
        if "decoupled" in words:
            return (
                ". The model has come to answer token by token since this client asked: connect "
                "again"
            )
        if not from_triton:
            return f". Is that the address of a Triton server{self._endpoint.port_hint}?"
        return ". The server's log may say more" if status >= 500 else ""
