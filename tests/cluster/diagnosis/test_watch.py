"""A deployment is watched until it is decided, or time is up."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from ft_serving.cluster.diagnosis import State, Verdict, diagnose
from ft_serving.cluster.diagnosis.watch import SAY_AGAIN_S, watch
from ft_serving.cluster.errors import ClusterUnavailableError
from tests.cluster.diagnosis.recorded_snapshots import recorded


class Played:
    """Plays recordings, one a question, the last for ever; an error is raised."""

    def __init__(self, *steps: str | Exception) -> None:
        self.now = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
        self._begun = self.now
        self._steps = list(steps)

    def look(self, now: datetime) -> Verdict:
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        return diagnose(dataclasses.replace(recorded(step)[0], begun=self._begun), now)

    def clock(self) -> datetime:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_a_service_that_becomes_ready_is_waited_for() -> None:
    played = Played("starting-at-first", "starting-loading", "sound")
    said: list[str] = []
    found = watch(played.look, "starting", 60, said.append, clock=played.clock, pause=played.pause)
    assert found.state is State.READY
    assert said[0].startswith("Waiting for starting (0 of at most 60 s): KServe has not made a pod")
    assert len(said) == 2


def test_a_failure_ends_the_wait_within_seconds() -> None:
    played = Played("starting-at-first", "gpu")
    begin = played.now
    found = watch(played.look, "gpu", 600, lambda _: None, clock=played.clock, pause=played.pause)
    assert found.state is State.FAILED
    assert (played.now - begin).total_seconds() <= 12


def test_waiting_is_said_again_now_and_then_and_in_one_line() -> None:
    played = Played("standard-starting-loading")
    said: list[str] = []
    found = watch(played.look, "starting", 100, said.append, clock=played.clock, pause=played.pause)
    assert found.state is State.PENDING
    assert len(said) == 100 // SAY_AGAIN_S + 1
    assert not [line for line in said if "\n" in line]


def test_an_api_server_that_goes_away_is_waited_for() -> None:
    gone = ClusterUnavailableError("The API server does not answer")
    played = Played("starting-at-first", gone, "sound")
    said: list[str] = []
    found = watch(played.look, "sound", 60, said.append, clock=played.clock, pause=played.pause)
    assert found.state is State.READY
    assert said[1].endswith("The API server does not answer")


def test_an_api_server_that_stays_away_is_the_error() -> None:
    played = Played(ClusterUnavailableError("The API server does not answer"))
    with pytest.raises(ClusterUnavailableError, match="does not answer"):
        watch(played.look, "sound", 20, lambda _: None, clock=played.clock, pause=played.pause)
