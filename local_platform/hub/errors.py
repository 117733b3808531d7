"""What can go wrong when folders are served as models.

Statuses, codes and messages of request errors are those from which huggingface_hub's
`utils/_http.py` (`hf_raise_for_status`) picks the exception that its caller sees.
"""

from http import HTTPStatus
from typing import ClassVar

from local_platform.errors import PlatformError


class HubError(PlatformError):
    """Base of every error of this package."""


class ModelRootError(HubError):
    """The folder to serve is missing, or holds no model."""


class TokenFileError(HubError):
    """The file with the access token is missing, empty or holds something else."""


class ListenError(HubError):
    """The address cannot be listened on."""


class FileChangedError(HubError):
    """A file on disk is no longer the version that was asked for; look at its folder again."""


class RequestError(HubError):
    """Base of what a client is told: an HTTP status, the hub's error code and a message."""

    status: ClassVar[HTTPStatus]
    code: ClassVar[str | None] = None

    def headers(self) -> dict[str, str]:
        """Response headers that belong to this error alone."""
        return {}


class MalformedRequestError(RequestError):
    """The request is not HTTP, or carries what cannot be decoded."""

    status = HTTPStatus.BAD_REQUEST


class RequestHeadTooLargeError(RequestError):
    """Request line and header fields are longer than any client of the hub sends."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class RequestTimeoutError(RequestError):
    """The request's head was begun and not finished in time."""

    status = HTTPStatus.REQUEST_TIMEOUT


class MethodNotAllowedError(RequestError):
    """The mirror is read-only: it answers GET and HEAD."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def headers(self) -> dict[str, str]:
        """Name what is allowed, as RFC 9110 section 15.5.6 demands."""
        return {"Allow": "GET, HEAD"}


class MissingTokenError(RequestError):
    """A token is needed and none came.

    The hub hides from strangers whether a private model exists. huggingface_hub falls back on the
    path to see this in a bare 401 only for https addresses, so the code is always sent.
    """

    status = HTTPStatus.UNAUTHORIZED
    code = "RepoNotFound"

    def headers(self) -> dict[str, str]:
        """Name the scheme, as RFC 9110 section 11.6.1 demands."""
        return {"WWW-Authenticate": "Bearer"}


class InvalidTokenError(RequestError):
    """A token came and is the wrong one.

    Without a code, and with exactly this message, huggingface_hub reports a failed login instead
    of a missing model.
    """

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self) -> None:
        super().__init__("Invalid credentials in Authorization header")

    def headers(self) -> dict[str, str]:
        """Name the scheme and the reason, as RFC 6750 section 3 has it."""
        return {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class RepositoryNotFoundError(RequestError):
    """No folder of that name is served."""

    status = HTTPStatus.NOT_FOUND
    code = "RepoNotFound"


class RevisionNotFoundError(RequestError):
    """The model is served, but not at that revision."""

    status = HTTPStatus.NOT_FOUND
    code = "RevisionNotFound"


class EntryNotFoundError(RequestError):
    """The revision holds no such file or folder."""

    status = HTTPStatus.NOT_FOUND
    code = "EntryNotFound"

    def __init__(self, message: str, *, commit: str) -> None:
        super().__init__(message)
        self.commit = commit

    def headers(self) -> dict[str, str]:
        """The commit, under which huggingface_hub remembers that the file does not exist."""
        return {"X-Repo-Commit": self.commit}


class RangeNotSatisfiableError(RequestError):
    """The range asked for lies outside the file."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size

    def headers(self) -> dict[str, str]:
        """The file's size in bytes, as RFC 9110 section 14.4 has it."""
        return {"Content-Range": f"bytes */{self.size}"}


class ModelChangingError(RequestError):
    """The model's files change faster than they can be read."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def headers(self) -> dict[str, str]:
        """Seconds after which a writer may have finished."""
        return {"Retry-After": "5"}


class UnreadableModelError(RequestError):
    """The model's files cannot be read: a permission or a device fails."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
