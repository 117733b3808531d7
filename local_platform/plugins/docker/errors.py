"""What can go wrong when an image is built and pushed."""

from collections.abc import Sequence

from local_platform.plugins.errors import PluginError


class DockerPluginError(PluginError):
    """Base of every error of this package."""


class ConfigurationError(DockerPluginError):
    """The provider's settings ask for something that is not served."""


class ResourceTypeError(DockerPluginError):
    """A resource or function of the docker package that is not served."""


class ImportImageError(DockerPluginError):
    """An image cannot be imported into a stack: nothing tells what it was built from."""


class InputError(DockerPluginError):
    """An input of an image is wrong.

    Attributes:
        path: The input's property path.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ImageNameError(DockerPluginError):
    """A text is no image name, or not one that a registry could be told from."""


class ContextError(DockerPluginError):
    """The build context or its ignore file cannot be read."""


class DockerMissingError(DockerPluginError):
    """There is no docker command line that can build."""


class CommandError(DockerPluginError):
    """A docker command failed.

    Attributes:
        lines: What it wrote, without empty lines; never empty.
    """

    def __init__(self, command: str, status: int, lines: Sequence[str]) -> None:
        self.lines = lines or [f"{command} ended with status {status} and said nothing"]
        super().__init__(f"{command}: {self.lines[-1]}")


class DaemonUnreachableError(DockerPluginError):
    """No Docker daemon answers."""


class BuildError(DockerPluginError):
    """The build failed."""


class PushError(DockerPluginError):
    """The image was built, but the registry did not take it."""


class CancelledError(DockerPluginError):
    """The user cancelled."""
