"""The errors of this package: a class of its own for each that is caught."""


class PlatformError(Exception):
    """An error on which a user can act: what was wrong, what was given, what to do.

    The command line prints it without a traceback and exits with status 1.
    """


class ApplyError(PlatformError):
    """The API server refused objects, or could not be asked."""


class ApiUnavailableError(ApplyError):
    """The API server, or a webhook that it asks, does not answer yet: the same may work later."""


class DockerError(PlatformError):
    """A docker command failed."""
