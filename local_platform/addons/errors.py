"""The errors of putting the platform's parts into the cluster."""

from local_platform.errors import PlatformError


class AddonsError(PlatformError):
    """A part of the platform could not be put into the cluster."""


class RegistryError(AddonsError):
    """The local registry did not answer, or refused an image."""


class BaseImageError(AddonsError):
    """The base image could not be made of Debian packages."""


class WheelsImageError(AddonsError):
    """The wheels of the project's images could not be downloaded."""


class ManifestError(AddonsError):
    """A manifest of an upstream project is not what this version of it is known to hold."""


class ApplyError(AddonsError):
    """The API server refused objects, or could not be asked."""


class UnavailableError(ApplyError):
    """The API server, or a webhook that it asks, does not answer yet: the same may work later."""


class NotReadyError(AddonsError):
    """A part of the platform did not become ready in time."""
