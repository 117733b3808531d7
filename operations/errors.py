"""What a command of a checkout ends with."""

from ft_serving.core.errors import FtServingError


class OperationsError(FtServingError):
    """A stack is refused, or what a command compares or asks for cannot be read."""
