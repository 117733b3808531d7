"""What a model hub may answer."""

from ft_serving.core.errors import FtServingError


class HubError(FtServingError):
    """The model hub refused, or could not be reached."""
