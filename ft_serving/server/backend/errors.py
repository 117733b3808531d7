"""What can go wrong between Triton and the engine."""

from ft_serving.core.errors import FtServingError


class BackendError(FtServingError):
    """Base of every error of this package."""


class ModelConfigError(BackendError):
    """config.pbtxt asks for what this backend, or the release it names, does not have."""


class DeliveryError(BackendError):
    """Triton did not take a response."""
