"""What a Kubernetes API server, or the way to it, may answer."""

from collections.abc import Mapping, Sequence

from local_platform.plugins.errors import PluginError


class ClusterError(PluginError):
    """A request failed.

    Attributes:
        causes: The fields that were refused, each with `field`, `reason` and `message`.
        status: The HTTP status of the answer, where there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        causes: Sequence[Mapping[str, str]] = (),
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.causes = causes
        self.status = status


class UnreachableError(ClusterError):
    """No API server answers."""


class NotFoundError(ClusterError):
    """The object, or the namespace to put it into, does not exist."""


class UnknownKindError(ClusterError):
    """The API server has no such kind: its CustomResourceDefinition is not there (yet)."""


class InvalidError(ClusterError):
    """The API server refused the object's fields, or their change."""


class FieldConflictError(ClusterError):
    """Another field manager owns a field with another value."""
