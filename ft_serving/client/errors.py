"""The base of the errors of this room, and those that somebody catches: here, or who uses it."""

from ft_serving.core.errors import FtServingError


class ClientError(FtServingError):
    """A prompt has no text: the message says why."""


class InvalidRequestError(ClientError):
    """The request cannot be sent as it is: its address, prompts or parameters."""


class TokenizerError(ClientError):
    """The tokenizer cannot be found or read."""


class UnavailableError(ClientError):
    """The model cannot be reached, or is not ready (yet)."""


class GatewayTimeoutError(UnavailableError):
    """A gateway before the server gave up on an answer, of a model that starts or that is slow."""


class SlowError(ClientError):
    """The server did not answer in time."""


class OverloadError(ClientError):
    """The server's queue is full."""


class UnknownModelError(ClientError):
    """The server, or the ingress in front of it, does not have what was asked for."""
