"""What can go wrong between a folder of weights and a generated token."""

from ft_serving.core.errors import FtServingError


class EngineError(FtServingError):
    """Base of every error of this package."""


class ModelFilesError(EngineError):
    """The folder's config.ini or weight files are missing, damaged, or do not fit together."""
