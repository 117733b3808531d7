"""The base of the errors of this room, and those that somebody catches."""

from ft_serving.core.errors import FtServingError, ReleaseError


class WeightsError(FtServingError):
    """A checkpoint does not become a release: its message says why."""


class CheckpointError(WeightsError):
    """A checkpoint's file is damaged, hostile, or in a format that is not read here."""


class MisplacedError(ReleaseError):
    """A release is whole, but lies elsewhere than its config.pbtxt says."""
