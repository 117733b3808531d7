"""Waiting through a cold start: a model that is scaled to zero needs minutes to answer."""

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


def wait_until_ready(
    probe: Callable[[float], T],
    budget_s: float,
    say: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Ask until the model is ready, with growing pauses.

    Args:
        probe: Asks once, given the seconds that the question may take.
        budget_s: Seconds after which waiting ends; 0 asks once.
        say: Told that and why there is something to wait for, every half minute or so.
        clock: Monotonic seconds.
        pause: Waits so many seconds.

    Returns:
        What `probe` came to.

    Raises:
        UnavailableError: The budget is spent.
        ClientError: `probe` failed in a way that waiting does not mend.
    """
    begin = clock()
    delay, said_at, said = FIRST_DELAY_S, -SAY_AGAIN_S, ""
    while True:
        left = budget_s - (clock() - begin)
        try:
            return probe(min(LONGEST_PROBE_S, max(1.0, left)))
        except UnavailableError as exc:
            waited = clock() - begin
            if waited + delay > budget_s:
                raise UnavailableError(_given_up(str(exc), waited, budget_s)) from exc
            reason = str(exc)
        if reason != said or waited - said_at >= SAY_AGAIN_S:
            say(f"Waiting for the model ({waited:.0f} of at most {budget_s:.0f} s): {reason}")
            said, said_at = reason, waited
        pause(delay)
        delay = min(LONGEST_DELAY_S, 2 * delay)


def _given_up(reason: str, waited: float, budget_s: float) -> str:
    if not budget_s:
        return reason
    return (
        f"{reason}. Waited {waited:.0f} of at most {budget_s:.0f} s; does the server run, and does "
        "its log say why the model does not load? If it only needs longer, allow more (--wait)"
    )
