"""The errors of this package: a class of its own for each that is caught."""

from collections.abc import Sequence


class PlatformError(Exception):
    """An error on which a user can act: what was wrong, what was given, what to do.

    The command line prints it without a traceback and exits with status 1.
    """


class ToolchainMissingError(PlatformError):
    """Tools are not built yet, or their pins changed since.

    Attributes:
        groups: The names of their groups.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = tuple(groups)
        super().__init__(
            f"not built, or built from other pins: {', '.join(groups)}; "
            "run `python -m local_platform.toolchain`, which builds what is missing"
        )


class ApplyError(PlatformError):
    """The API server refused objects, or could not be asked."""


class ApiUnavailableError(ApplyError):
    """The API server, or a webhook that it asks, does not answer yet: the same may work later."""


class DockerError(PlatformError):
    """A docker command failed."""
