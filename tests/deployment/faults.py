"""Something breaks while requests come: none may be lost, and none answered wrongly."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.deployment.load import Load
from tests.deployment.program import Deployment
from tests.platform.waiting import wait_until
from tests.serving import GOLDEN

RECOVERY_SECONDS = 120

Record = Callable[[str, object], None]


class Watched:
    """A service under load.

    Attributes:
        load: The requests.
        recovered_after_s: Seconds from the last fault to the answer of a request sent after it.
    """

    def __init__(self, load: Load) -> None:
        self.load = load
        self.recovered_after_s = 0.0

    def wait_for_recovery(self) -> None:
        """Wait until a request that is sent from now on is answered rightly."""
        now = time.monotonic()
        self.recovered_after_s = wait_until(
            lambda: self.load.answered_since(now), "no right answer", RECOVERY_SECONDS
        )


@contextmanager
def under_load(deployment: Deployment, record: Record) -> Iterator[Watched]:
    """Ask the service all the while; none of the requests may fail or be answered wrongly.

    Args:
        deployment: The service's.
        record: Gets the figures, as `record_property` does.
    """
    client = deployment.client()
    with Load(client, GOLDEN["input_ids"], GOLDEN["output_ids"]) as load:
        watched = Watched(load)
        watched.wait_for_recovery()
        yield watched
        watched.wait_for_recovery()
    client.close()
    tally = load.tally()
    record(
        "figures",
        f"{tally.sent} sent, {tally.right} right, {tally.wrong} wrong, {tally.failed.total()} "
        f"failed; longest without an answer {tally.longest_gap_s:.1f} s",
    )
    assert not tally.failed
    assert (tally.right, tally.wrong) == (tally.sent, 0)
