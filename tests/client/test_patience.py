"""Waiting for a model, by a clock that does not wait."""

import pytest

from ft_serving.client.errors import ClientError, UnavailableError
from ft_serving.client.patience import wait_until_ready


class Time:
    """Seconds that pass only in pauses and probes."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Server:
    """Ready after some seconds; says the same until then."""

    def __init__(self, time: Time, ready_after: float, probe_s: float = 0.0) -> None:
        self.time = time
        self.ready_at = time.now + ready_after
        self.probe_s = probe_s
        self.timeouts: list[float] = []

    def probe(self, timeout: float) -> str:
        self.timeouts.append(timeout)
        self.time.now += min(timeout, self.probe_s)
        if self.time.now < self.ready_at:
            raise UnavailableError("connection refused")
        return "ready"


def wait(server: Server, budget: float, said: list[str] | None = None) -> str:
    time = server.time
    heard: list[str] = [] if said is None else said
    return wait_until_ready(server.probe, budget, heard.append, clock=time.clock, pause=time.pause)


def ignore(_: object) -> None:
    """Hear or wait for nothing."""


def test_a_model_that_is_ready_is_not_waited_for() -> None:
    time, said = Time(), list[str]()
    assert wait(Server(time, 0), 600, said) == "ready"
    assert not time.pauses
    assert not said


def test_pauses_double_up_to_five_seconds() -> None:
    time = Time()
    wait(Server(time, 30), 600)
    assert time.pauses == [0.5, 1, 2, 4, 5, 5, 5, 5, 5]


def test_the_user_hears_why_and_again_every_half_minute() -> None:
    said: list[str] = []
    wait(Server(Time(), 65), 600, said)
    assert said == [
        "Waiting for the model (0 of at most 600 s): connection refused",
        "Waiting for the model (32 of at most 600 s): connection refused",
        "Waiting for the model (62 of at most 600 s): connection refused",
    ]


def test_the_end_of_the_budget_ends_the_wait_with_the_reason() -> None:
    time = Time()
    with pytest.raises(UnavailableError, match=r"refused\. Waited \d+ of at most 20 s.*--wait"):
        wait(Server(time, 1000), 20)
    assert sum(time.pauses) <= 20


def test_no_budget_means_one_question() -> None:
    time = Time()
    with pytest.raises(UnavailableError, match=r"^connection refused$"):
        wait(Server(time, 1000), 0)
    assert not time.pauses


def test_a_question_may_take_no_longer_than_what_is_left() -> None:
    server = Server(Time(), 1000, probe_s=60)
    with pytest.raises(UnavailableError):
        wait(server, 100)
    assert server.timeouts == [60, 39.5]


def test_what_waiting_does_not_mend_is_told_at_once() -> None:
    time = Time()

    def probe(_: float) -> str:
        raise ClientError("wants a token")

    with pytest.raises(ClientError, match="wants a token"):
        wait_until_ready(probe, 600, ignore, clock=time.clock, pause=time.pause)
    assert not time.pauses
