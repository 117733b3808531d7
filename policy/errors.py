"""What `ft-serving policy` ends with."""

from ft_serving.errors import FtServingError


class PolicyError(FtServingError):
    """Resources break rules."""
