"""Diagnoses a deployment again and again until it is ready or has failed."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from ft_serving.cluster.diagnosis.verdict import State, Verdict
from ft_serving.cluster.errors import ClusterUnavailableError

# Ten small lists each time; a watch would have a connection to lose.
PAUSE_S = 2.0
SAY_AGAIN_S = 30.0


def watch(
    look: Callable[[datetime], Verdict],
    what: str,
    budget_s: float,
    say: Callable[[str], None],
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Wait until a deployment is ready or has failed, and return the last verdict.

    The verdict is pending if `budget_s` seconds did not do. `say` gets the reason for the wait,
    when it changes and every half minute; `look` diagnoses the deployment `what` at a time.

    Raises:
        ClusterRefusalError: The API server refuses to tell.
        ClusterUnavailableError: The API server did not answer when the time was up.
    """
    begin = clock()
    said, said_at = "", -SAY_AGAIN_S
    while True:
        verdict: Verdict | None = None
        try:
            verdict = look(clock())
            reason = verdict.summary.partition("\n")[0].removesuffix(". Its last lines:")
        except ClusterUnavailableError as exc:
            # It restarts, or a connection broke: that passes as a service's start does.
            failure, reason = exc, str(exc)
        waited = (clock() - begin).total_seconds()
        if verdict is not None and verdict.state is not State.PENDING:
            return verdict
        if waited + PAUSE_S > budget_s:
            if verdict is None:
                raise failure
            return verdict
        if reason != said or waited - said_at >= SAY_AGAIN_S:
            say(f"Waiting for {what} ({waited:.0f} of at most {budget_s:.0f} s): {reason}")
            said, said_at = reason, waited
        pause(PAUSE_S)
