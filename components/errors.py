"""What components refuse before anything is created."""

from ft_serving.core.errors import FtServingError


class ComponentError(FtServingError):
    """A component cannot be made from its arguments."""


class BuildContextError(ComponentError):
    """The files that an image is built from cannot be told."""
