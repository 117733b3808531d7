"""The errors of this package: a class of its own for each that is caught."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus


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


class FileChangedError(PlatformError):
    """A file on disk is no longer the version that was asked for; look at its folder again."""


class RefusedRequestError(PlatformError):
    """A client of the hub is refused.

    Status, code and message are those from which huggingface_hub's `utils/_http.py`
    (`hf_raise_for_status`) picks the exception that its caller sees.

    Attributes:
        status: The response's status.
        code: The hub's own code for the error, such as `RepoNotFound`; None has none.
        headers: Header fields that belong to this error only.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
