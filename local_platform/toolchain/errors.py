"""What can go wrong when the platform's tools are prepared."""

from collections.abc import Sequence

from local_platform.errors import PlatformError


class ToolchainError(PlatformError):
    """Base of every error of this package."""


class ToolchainMissingError(ToolchainError):
    """Tools are asked for that were not built yet, or whose pins changed since.

    Attributes:
        groups: The names of the groups they belong to.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = tuple(groups)
        super().__init__(
            f"not built yet, or pinned anew since: {', '.join(groups)}; "
            "run `python -m local_platform.toolchain`, which builds what is missing"
        )


class PinError(ToolchainError):
    """A `go.mod` or `go.sum` cannot be read, or does not pin what a group is made from."""


class MachineError(ToolchainError):
    """The tools cannot be had for a machine of this kind."""


class GoError(ToolchainError):
    """There is no Go that is new enough, and it could not be installed either."""


class BuildError(ToolchainError):
    """A group of tools could not be built."""


class PackageError(ToolchainError):
    """A Debian package could not be installed."""
