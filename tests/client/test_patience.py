"""Waits for a model, by a clock that does not wait."""

import pytest

from ft_serving.client.errors import ClientError, UnavailableError
from ft_serving.client.patience import wait_until_ready


class Server:
    """A server that is ready after some seconds, which pass only in pauses and probes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ready_after: float, probe_s: float) -> None:
        self.now = 100.0
        self.ready_at = self.now + ready_after
        self.probe_s = probe_s
        self.pauses: list[float] = []
        self.timeouts: list[float] = []
        self.said: list[str] = []
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("time.sleep", self.pause)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def probe(self, timeout: float) -> str:
        self.timeouts.append(timeout)
        self.now += min(timeout, self.probe_s)
        if self.now < self.ready_at:
            raise UnavailableError("connection refused")
        return "ready"


@pytest.mark.parametrize(
    ("ready_after", "pauses", "said_at"),
    [(0, [], []), (65, [0.5, 1, 2, 4, *[5] * 12], [0, 32, 62])],
)
def test_pauses_double_up_to_five_seconds_and_the_user_hears_why_each_half_minute(
    monkeypatch: pytest.MonkeyPatch, ready_after: float, pauses: list[float], said_at: list[int]
) -> None:
    server = Server(monkeypatch, ready_after, 0)
    assert wait_until_ready(server.probe, 600, server.said.append) == "ready"
    assert server.pauses == pauses
    assert server.said == [
        f"Waiting for the model ({second} of at most 600 s): connection refused"
        for second in said_at
    ]


@pytest.mark.parametrize(
    ("budget", "probe_s", "message", "timeouts"),
    [
        (0, 0, r"^connection refused$", [1]),
        (100, 60, r"refused\. Waited 100 of at most 100 s.*--wait", [60, 39.5]),
    ],
)
def test_the_end_of_the_budget_ends_the_wait_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
    budget: float,
    probe_s: float,
    message: str,
    timeouts: list[float],
) -> None:
    server = Server(monkeypatch, 1000, probe_s)
    with pytest.raises(UnavailableError, match=message):
        wait_until_ready(server.probe, budget, server.said.append)
    assert server.timeouts == timeouts


def test_what_waiting_does_not_mend_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, 0, 0)

    def probe(_: float) -> str:
        raise ClientError("wants a token")

    with pytest.raises(ClientError, match="wants a token"):
        wait_until_ready(probe, 600, server.said.append)
    assert not server.pauses
