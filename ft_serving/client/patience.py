"""Waits through a cold start: a model that is scaled to zero needs minutes to answer."""

import time
from collections.abc import Callable
from typing import TypeVar

from ft_serving.client.errors import UnavailableError

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 5.0
# Knative holds a request while it starts a pod, so that one probe may take long.
LONGEST_PROBE_S = 60.0
SAY_AGAIN_S = 30.0

T = TypeVar("T")


class Patience:
    """Decides how long to pause between questions to a model, and when to give up.

    Args:
        budget_s: Seconds after which waiting ends; 0 asks once.
        say: Is told every half minute why the model is not ready.
    """

    def __init__(self, budget_s: float, say: Callable[[str], None]) -> None:
        self._budget_s = budget_s
        self._say = say
        self._begin = time.monotonic()
        self._delay = FIRST_DELAY_S
        self._said_at, self._said = -SAY_AGAIN_S, ""

    @property
    def probe_s(self) -> float:
        """Seconds that the next question may take."""
        left = self._budget_s - (time.monotonic() - self._begin)
        return min(LONGEST_PROBE_S, max(1.0, left))

    def pause(self, error: UnavailableError) -> float:
        """Return the seconds to wait after an error.

        Raises:
            UnavailableError: The budget is spent.
        """
        reason = str(error)
        waited = time.monotonic() - self._begin
        if not self._budget_s:
            raise error
        if waited + self._delay > self._budget_s:
            raise UnavailableError(
                f"{reason}. Waited {waited:.0f} of at most {self._budget_s:.0f} s; does the server "
                "run, and does its log say why the model does not load? If it only needs "
                "longer, allow more (--wait)"
            ) from error
        if reason != self._said or waited - self._said_at >= SAY_AGAIN_S:
            self._say(
                f"Waiting for the model ({waited:.0f} of at most {self._budget_s:.0f} s): {reason}"
            )
            self._said, self._said_at = reason, waited
        delay, self._delay = self._delay, min(LONGEST_DELAY_S, 2 * self._delay)
        return delay


def wait_until_ready(probe: Callable[[float], T], budget_s: float, say: Callable[[str], None]) -> T:
    """Ask until the model is ready, with growing pauses, and return the answer.

    Args:
        probe: Asks once, given the seconds that the question may take.
        budget_s: See `Patience`.
        say: See `Patience`.

    Raises:
        UnavailableError: The budget is spent.
        ClientError: `probe` failed in a way that waiting does not mend.
    """
    patience = Patience(budget_s, say)
    while True:
        try:
            return probe(patience.probe_s)
        except UnavailableError as exc:
            time.sleep(patience.pause(exc))
