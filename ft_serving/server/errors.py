"""What can go wrong between a storage and a server that answers, and with a request."""

from ft_serving.core.errors import FtServingError


class ServerError(FtServingError):
    """Base of every error of this package."""


class InstallationError(ServerError):
    """Triton, or something that it needs, is not installed."""


class ReleaseChoiceError(ServerError):
    """It is not clear which release to serve."""


class PortError(ServerError):
    """A port cannot be listened on."""


class TritonError(ServerError):
    """Triton did not start, or ended by itself; the message has its reason."""


class RequestError(ServerError):
    """A request asks for what cannot be done; the message names each offending tensor."""


class MemoryLimitError(ServerError):
    """A batch needs more memory than there is."""
