"""A deployment is watched until it is ready or has failed, or time is up."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from ft_serving.cluster.diagnosis import State, Verdict, diagnose
from ft_serving.cluster.errors import ClusterUnavailableError
from ft_serving.cluster.gate.readiness import SAY_AGAIN_S, watch
from tests.cluster.diagnosis.recorded_snapshots import recorded

GONE = ClusterUnavailableError("The API server does not answer")


class Played:
    """Plays recordings, one a question, the last for ever; an error is raised."""

    def __init__(self, *steps: str | Exception) -> None:
        self.begun = self.now = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
        self.said: list[str] = []
        self._steps = list(steps)

    def watch(self, budget_s: float) -> Verdict:
        return watch(
            self._look, "it", budget_s, self.said.append, clock=lambda: self.now, pause=self._pause
        )

    def _look(self, now: datetime) -> Verdict:
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        return diagnose(dataclasses.replace(recorded(step)[0], begun=self.begun), now)

    def _pause(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_a_service_that_becomes_ready_is_waited_for() -> None:
    played = Played("starting-at-first", GONE, "starting-loading", "sound")
    assert played.watch(60).state is State.READY
    assert played.said[0].startswith("Waiting for it (0 of at most 60 s): KServe has not made a po")
    assert played.said[1].endswith("The API server does not answer"), "it may only restart"
    assert len(played.said) == 3


def test_a_failure_ends_the_wait_within_seconds() -> None:
    played = Played("starting-at-first", "gpu")
    assert played.watch(600).state is State.FAILED
    assert (played.now - played.begun).total_seconds() <= 12


def test_the_reason_is_said_again_now_and_then_and_in_one_line() -> None:
    played = Played("standard-starting-loading")
    assert played.watch(100).state is State.PENDING
    assert len(played.said) == 100 // SAY_AGAIN_S + 1
    assert not [line for line in played.said if "\n" in line]


def test_an_api_server_that_stays_away_is_the_error() -> None:
    with pytest.raises(ClusterUnavailableError, match="does not answer"):
        Played(GONE).watch(20)
