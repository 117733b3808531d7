"""Errors of this room, in the form that OpenAI's clients expect."""

import re
from http import HTTPStatus

from ft_serving.client.errors import (
    ClientError,
    InvalidRequestError,
    OverloadError,
    SlowError,
    UnavailableError,
)
from ft_serving.core.errors import FtServingError
from ft_serving.core.parameters import PARAMETERS

RETRY_AFTER_S = 5
"""Seconds after which a client that got 429 or 503 may ask again."""

_STATUSES: tuple[tuple[type[ClientError], HTTPStatus], ...] = (
    (InvalidRequestError, HTTPStatus.BAD_REQUEST),
    (OverloadError, HTTPStatus.TOO_MANY_REQUESTS),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (SlowError, HTTPStatus.GATEWAY_TIMEOUT),
)

_OPENAI_NAMES = {
    "output_length": "max_tokens",
    "min_length": "min_tokens",
    "bad": "bad_words",
    "log_probs": "logprobs",
}
_FIELDS = {"prompt": "prompt", "input_ids": "prompt"} | {
    name: _OPENAI_NAMES.get(parameter, parameter)
    for parameter, row in PARAMETERS.items()
    for name in (parameter, row.tensor.name)
}
"""Fields of requests, by the names that engines and the client library have for them."""


class OpenAIError(FtServingError):
    """A request that this server refuses, or could not answer.

    Attributes:
        status: The HTTP status.
        param: The parameter at fault, if there is one.
        code: OpenAI's word for the fault, if it has one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = HTTPStatus.BAD_REQUEST,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def document(self) -> dict[str, object]:
        """Return the JSON object that the official client reads."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            kind = "rate_limit_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def headers(self) -> dict[str, str]:
        """Return the headers that go with the status."""
        again = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status in again else {}


def openai_error(error: ClientError) -> OpenAIError:
    """Return a client library's error as this server's, with the parameter that it names."""
    status = next(
        (status for kind, status in _STATUSES if isinstance(error, kind)), HTTPStatus.BAD_GATEWAY
    )
    param = None
    if status is HTTPStatus.BAD_REQUEST:
        names = re.findall(r"\w+", str(error))
        param = next((_FIELDS[name] for name in names if name in _FIELDS), None)
    return OpenAIError(str(error), status=status, param=param)
