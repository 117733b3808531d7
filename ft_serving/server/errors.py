"""This room's errors: their base, and those that somebody catches."""

from ft_serving.core.errors import FtServingError


class ServerError(FtServingError):
    """A release cannot be served, or a request not be answered: its message says why."""


class RequestError(ServerError):
    """A request cannot be done; the message names each offending tensor, or the memory it needs."""


class DeliveryError(ServerError):
    """Triton did not take a response."""
