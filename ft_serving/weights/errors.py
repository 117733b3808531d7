"""What can go wrong between a model hub and a valid release."""

from ft_serving.core.errors import FtServingError, ReleaseError


class WeightsError(FtServingError):
    """Base of every error of this package."""


class CheckpointError(WeightsError):
    """A checkpoint's file is damaged, hostile, or in a format that is not read here."""


class PlanError(WeightsError):
    """The checkpoint's tensors are not those of the model that config.json describes."""


class ConversionError(WeightsError):
    """A tensor's values cannot be stored as asked."""


class MisplacedError(ReleaseError):
    """A release is whole, but lies elsewhere than its config.pbtxt says."""
