"""The errors of the client: a base, and a class for each error that somebody catches."""

from collections.abc import Sequence

from ft_serving.core.errors import FtServingError


class ClientError(FtServingError):
    """A request has no answer; the message says why."""


class InvalidRequestError(ClientError):
    """The address, the prompts or the parameters of a request cannot be sent."""


class UnknownHostError(InvalidRequestError):
    """No address is known for the server's name."""


class TokenizerError(ClientError):
    """The tokenizer cannot be found or read, or does not fit the model."""


class UnavailableError(ClientError):
    """The model cannot be reached, or is not ready (yet)."""


class GatewayTimeoutError(UnavailableError):
    """A gateway gave up on the answer, because the model is starting or slow."""


class SlowError(ClientError):
    """The server did not answer in time."""


class OverloadError(ClientError):
    """The server's queue is full."""


class UnknownModelError(ClientError):
    """The server, or the ingress in front of it, does not know the model or the address."""


def refuse(problems: Sequence[str]) -> None:
    """Raise an InvalidRequestError that names all problems of a request, if it has any."""
    if problems:
        raise InvalidRequestError("\n  ".join(["The request cannot be sent:", *problems]))
