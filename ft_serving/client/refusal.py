"""A server's refusals, in words for the user.

Triton says the same over HTTP and gRPC; what differs is the status, for which gRPC's is put into
HTTP's terms. Answers that are not Triton's come from what stands before it: an ingress, Knative's
activator and queue proxy, an authenticating gateway.
"""

from dataclasses import dataclass

from ft_serving.client.endpoint import TOKEN_VARIABLE, Endpoint
from ft_serving.client.errors import (
    ClientError,
    GatewayTimeoutError,
    OverloadError,
    UnavailableError,
    UnknownModelError,
)
from ft_serving.client.transport import not_through, noted
from ft_serving.core.proxies import Proxy

# Triton's scheduler, and Knative's queue proxy (containerConcurrency).
_QUEUE_FULL = ("exceeds maximum queue size", "pending request queue full")
# Triton's checks of a request against config.pbtxt.
_MISMATCH = ("data-type is", "unexpected shape", "batch size", "unexpected inference input")
_STARTING = (502, 503)
# Envoy's words, with which gRPC has it as UNAVAILABLE.
_GATEWAY_TIMEOUT = "upstream request timeout"
# Triton's Python backend, whose process for the model has died; the server ends a moment later.
_DEAD = "stub process"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An answer that is not the one asked for.

    Attributes:
        status: HTTP status, or the one that a gRPC status stands for.
        said: The answer's text.
        from_triton: Whether Triton gave it, and not what stands before it.
        location: Where a redirect leads, if it is one.
    """

    status: int
    said: str
    from_triton: bool
    location: str | None = None


def error(refusal: Refusal, endpoint: Endpoint, model: str, proxy: Proxy | None) -> ClientError:
    """What was wrong and what to do; what is not Triton's may be that of a proxy on the way."""
    if refusal.from_triton:
        return _error(refusal, endpoint, model)
    if proxy and refusal.status == 407:
        return not_through(endpoint, proxy, refusal.status)
    return noted(_error(refusal, endpoint, model), proxy)


def _error(refusal: Refusal, endpoint: Endpoint, model: str) -> ClientError:
    said, status = refusal.said.strip(), refusal.status
    words = said.lower()
    answered = f"{endpoint} answered {status}" + (f": {said}" if said else "")
    if status in (401, 403):
        return _denied(status, endpoint, answered)
    if status == 429 or any(phrase in words for phrase in _QUEUE_FULL):
        return OverloadError(
            f"{answered}. Its queue is full: send fewer requests at once, or let it have more "
            "replicas"
        )
    if "unknown model" in words and "not found" in words:
        return UnknownModelError(
            f"{endpoint} has no model {model!r}. Name one that it serves, as its log lists them"
        )
    unavailable = _unavailable(status, words, answered, model)
    if unavailable:
        return unavailable
    if status == 404:
        return _nowhere(refusal, endpoint, answered)
    if refusal.location:
        return ClientError(f"{endpoint} redirects to {refusal.location}; use that address")
    if any(phrase in words for phrase in _MISMATCH):
        return ClientError(
            f"{answered}. The request was made after the server's own configuration of "
            f"{model!r}; has it changed since?"
        )
    if "decoupled" in words:
        return ClientError(
            f"{answered}. The model has come to answer token by token since this client asked: "
            "connect again"
        )
    if not refusal.from_triton:
        return ClientError(
            f"{answered}. Is that the address of a Triton server{endpoint.port_hint}?"
        )
    return ClientError(f"{answered}. The server's log may say more" if status >= 500 else answered)


def _unavailable(status: int, words: str, answered: str, model: str) -> UnavailableError | None:
    # Triton knows the model and is loading it.
    loading = "no available versions" in words or "not ready" in words
    if not loading and (status == 504 or _GATEWAY_TIMEOUT in words):
        return GatewayTimeoutError(answered)
    if loading or _DEAD in words or status in _STARTING:
        return UnavailableError(f"{model!r} is not ready: {answered}")
    return None


def _denied(status: int, endpoint: Endpoint, answered: str) -> ClientError:
    if status == 403:
        remedy = f"The token in {TOKEN_VARIABLE} may not use it" if endpoint.token else ""
        return ClientError(f"{answered}. {remedy or f'Set {TOKEN_VARIABLE} to a token that may'}")
    if endpoint.token:
        return ClientError(f"{answered}. It rejected the token in {TOKEN_VARIABLE}; get another")
    return ClientError(f"{answered}. Set {TOKEN_VARIABLE} to a bearer token")


def _nowhere(refusal: Refusal, endpoint: Endpoint, answered: str) -> UnknownModelError:
    if refusal.from_triton:
        return UnknownModelError(f"{answered}. Is the path of the address right?")
    routed = endpoint.host_header or endpoint.host
    return UnknownModelError(
        f"{answered}. An ingress knows nothing of {routed!r}: give the name of the service as the "
        "host header (--host-header); `kubectl get inferenceservice` shows it under URL"
        + ("" if endpoint.host_header else endpoint.port_hint)
    )
