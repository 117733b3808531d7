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


def wait_until_ready(probe: Callable[[float], T], budget_s: float, say: Callable[[str], None]) -> T:
    """Ask until the model is ready, with growing pauses, and return the answer.

    Args:
        probe: Asks once, given the seconds that the question may take.
        budget_s: Seconds after which waiting ends; 0 asks once.
        say: Is told every half minute why the model is not ready.

    Raises:
        UnavailableError: The budget is spent.
        ClientError: `probe` failed in a way that waiting does not mend.
    """
    begin = time.monotonic()
    delay, said_at, said = FIRST_DELAY_S, -SAY_AGAIN_S, ""
    while True:
        left = budget_s - (time.monotonic() - begin)
        try:
            return probe(min(LONGEST_PROBE_S, max(1.0, left)))
        except UnavailableError as exc:
            reason = str(exc)
            waited = time.monotonic() - begin
            if not budget_s:
                raise
            if waited + delay > budget_s:
                raise UnavailableError(
                    f"{reason}. Waited {waited:.0f} of at most {budget_s:.0f} s; does the server "
                    "run, and does its log say why the model does not load? If it only needs "
                    "longer, allow more (--wait)"
                ) from exc
        if reason != said or waited - said_at >= SAY_AGAIN_S:
            say(f"Waiting for the model ({waited:.0f} of at most {budget_s:.0f} s): {reason}")
            said, said_at = reason, waited
        time.sleep(delay)
        delay = min(LONGEST_DELAY_S, 2 * delay)
