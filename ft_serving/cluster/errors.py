"""Errors of this room."""

from ft_serving.core.errors import FtServingError


class ClusterError(FtServingError):
    """A deployment has failed; also the base of this room's errors."""


class ClusterUnavailableError(ClusterError):
    """No cluster is configured, or its API server does not answer yet."""


class ClusterRefusalError(ClusterError):
    """The API server refuses a request that diagnosis needs."""
