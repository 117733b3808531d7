"""What can go wrong while a cluster is asked about a deployment."""

from ft_serving.core.errors import FtServingError


class DiagnosisError(FtServingError):
    """Base of every error of this package."""


class ClusterConfigError(DiagnosisError):
    """No cluster, or no namespace of it, is named that could be asked."""


class ClusterUnavailableError(DiagnosisError):
    """The API server does not answer, or not yet: the same may work later."""


class ClusterRefusalError(DiagnosisError):
    """The API server refuses to tell what is needed."""
