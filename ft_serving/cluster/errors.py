"""What can go wrong while a cluster is asked about a deployment, or with the deployment itself."""

from ft_serving.core.errors import FtServingError


class ClusterError(FtServingError):
    """Base of every error of this room, and the error that a deployment fails by."""


class ClusterUnavailableError(ClusterError):
    """No cluster is named that can be asked, or its API server does not answer (yet)."""


class ClusterRefusalError(ClusterError):
    """The API server answers, and refuses to tell what is needed."""
