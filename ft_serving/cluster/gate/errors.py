"""What a deployment can fail by."""

from ft_serving.core.errors import FtServingError


class GateError(FtServingError):
    """Base of every error of this package."""


class NotReadyError(GateError):
    """The service will not become ready, or did not in time; the message has the root cause."""


class WrongAnswerError(GateError):
    """The service answers, but not what its model would."""


class JobFailedError(GateError):
    """The Job does not succeed, or did not in time; the message has the root cause."""
