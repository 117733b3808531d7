"""The error of this package."""

from ft_serving.core.errors import FtServingError


class OperationsError(FtServingError):
    """A stack is refused, or something that a command compares or asks cannot be read."""
