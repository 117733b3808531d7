"""Decides whether, and after which wait, a transfer that failed is tried again."""

import random
import re
import time
from collections.abc import Callable, Mapping

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from ft_serving.core.errors import FtServingError
from ft_serving.core.units import format_duration

TRIES = 7
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
# The hub counts requests in windows of five minutes, so none of its own waits is longer.
LONGEST_ASKED_WAIT_S = 330.0

# Connections that fail together must not come back together.
_jitter = random.SystemRandom()


class TransientError(Exception):
    """A try failed, and the next may succeed.

    Attributes:
        remedy: The user's way out if no try succeeds.
        wait_s: Seconds that the server asked to wait, or None.
    """

    def __init__(self, reason: str, remedy: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.wait_s = wait_s


class Backoff:
    """The tries of one transfer, with waits that grow between failures.

    Args:
        what: The subject of every message.
        say: Called with a message for each failure that is followed by another try.
        pause: Waits so many seconds; may raise to end the transfer.
        tries: The number of tries.
    """

    def __init__(
        self,
        what: str,
        say: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
        tries: int = TRIES,
    ) -> None:
        self._what = what
        self._say = say
        self._pause = pause
        self._tries = tries
        self._failures = 0

    def wait(self, error: TransientError) -> None:
        """Wait as long as the server asked before the next try, else twice as long as last time.

        Raises:
            FtServingError: The last try failed, or the server asks for more patience than there is.
        """
        self._failures += 1
        if self._failures >= self._tries:
            raise FtServingError(
                f"{self._what}: {error} (the last of {self._tries} tries); {error.remedy}"
            ) from error
        if error.wait_s is not None and error.wait_s > LONGEST_ASKED_WAIT_S:
            raise FtServingError(
                f"{self._what}: {error} and asks to wait {format_duration(error.wait_s)}; "
                f"{error.remedy}"
            ) from error
        delay = error.wait_s
        if delay is None:
            longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (self._failures - 1))
            delay = longest * _jitter.uniform(0.5, 1.0)
        self._say(
            f"{self._what}: {error}; trying again in {format_duration(delay)} "
            f"(try {self._failures + 1} of {self._tries})"
        )
        self._pause(delay)

    def renew(self) -> None:
        """Forget the failures so far, because the transfer has moved on since."""
        self._failures = 0


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a response asks to wait before the next request, or None.

    `Retry-After` is that of RFC 9110; the hub itself answers 429 with the `RateLimit` header of
    the IETF's draft, documented in https://huggingface.co/docs/hub/rate-limits.
    """
    asked = headers.get("Retry-After")
    if asked is not None:
        try:
            return Retry().parse_retry_after(asked)
        except InvalidHeader:
            return None
    exhausted = re.search(r";\s*r=0\s*;\s*t=(\d+)", headers.get("RateLimit", ""))
    return float(exhausted[1]) if exhausted else None
