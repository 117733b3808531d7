"""What can go wrong while a cluster is checked."""

from ft_serving.core.errors import FtServingError


class PreflightError(FtServingError):
    """Base of every error of this package."""


class NotReadyError(PreflightError):
    """The cluster lacks what the deployment needs; the message has every finding."""


class UnreachableError(PreflightError):
    """No cluster answers: nothing can be said about it."""


class CredentialsError(PreflightError):
    """The API server answers, and does not accept who asks."""
