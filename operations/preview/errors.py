"""Why there is no preview, or none that may pass."""

from ft_serving.core.errors import FtServingError


class PreviewError(FtServingError):
    """What is compared cannot be read."""


class RefusedError(FtServingError):
    """A stack cannot be deployed as it is, or must not be."""
