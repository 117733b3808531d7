"""One budget, and what comes from it."""

import pytest

from stacks.timeouts import KNATIVE_MAX_REQUEST_S, Timeouts


def test_a_budget_of_ten_minutes_gives_the_documented_timeouts() -> None:
    assert Timeouts.from_budget(600) == Timeouts(
        loading=600,
        progress_deadline=630,
        request=600,
        gate=660,
        service=780,
        gate_job=780,
        client=660,
    )


@pytest.mark.parametrize("budget", [30, 31, 180, 299, 570, 571, 600, 3600, 7200])
def test_who_knows_the_cause_gives_up_before_who_waits_for_it(budget: int) -> None:
    timeouts = Timeouts.from_budget(budget)
    assert (
        budget == timeouts.loading < timeouts.progress_deadline < timeouts.gate < timeouts.service
    )
    assert timeouts.gate < timeouts.gate_job
    assert 300 <= timeouts.request <= KNATIVE_MAX_REQUEST_S, "more is refused by Knative"
    assert timeouts.client >= budget, "a client that gives up earlier never sees a cold start"
