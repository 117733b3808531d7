"""Measurements, figure by figure."""

import threading

import pytest

from ft_serving.client import GenerationClient, Parameters
from ft_serving.client.measure import Level, Sample, measure
from tests.client.fake_triton import FakeTriton, Fault


@pytest.mark.parametrize(
    ("sample", "time_per_token_s"),
    [
        (Sample(latency_s=1.5, first_token_s=0.5, tokens=5), 0.25),
        (Sample(latency_s=0.5, first_token_s=0.5, tokens=1), None),
        (Sample(latency_s=1.5, tokens=3), 0.5),
        (Sample(latency_s=1.5, tokens=0), None),
    ],
)
def test_a_token_of_a_stream_takes_the_time_behind_the_first(
    sample: Sample, time_per_token_s: float | None
) -> None:
    assert sample.time_per_token_s == time_per_token_s


def test_figures_leave_out_what_failed() -> None:
    samples = [Sample(latency_s=float(second), tokens=10) for second in range(1, 102)]
    failed = [Sample(latency_s=1000.0, error=error) for error in ("full", "gone", "full")]
    level = Level(concurrency=4, seconds=20.0, samples=(*samples, *failed))
    assert level.as_dict() == {
        "concurrency": 4,
        "requests": 104,
        "errors": {"full": 2, "gone": 1},
        "seconds": 20.0,
        "tokens": 1010,
        "tokens_per_second": 50.5,
        "first_token_s": None,
        "time_per_token_s": {"p50": 5.1, "p95": 9.6, "p99": 10.0},
        "latency_s": {"p50": 51.0, "p95": 96.0, "p99": 100.0},
    }


def test_as_many_requests_are_in_flight_as_the_concurrency_says(
    over_http: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    four = threading.Barrier(4, timeout=10)

    def fault(_: object) -> Fault:
        four.wait()
        return Fault(status=500)

    with GenerationClient(over_http.url) as client:
        client.model()
        monkeypatch.setattr(over_http, "fault", fault)
        level = measure(client, [[5]], {}, concurrency=4, requests=12, seconds=60)
    assert len(level.samples) == 12
    assert not four.broken
    [[message, count]] = level.errors.items()
    assert "answered 500" in message
    assert count == 12


def test_no_request_is_begun_when_the_time_is_over(over_http: FakeTriton) -> None:
    with GenerationClient(over_http.url) as client:
        client.model()
        over_http.faults.extend([Fault(status=500)] * 1000)
        level = measure(client, [[5]], {}, concurrency=2, requests=1000, seconds=0)
    assert not level.samples


def test_prompts_are_taken_in_turn(over_http: FakeTriton) -> None:
    with GenerationClient(over_http.url) as client:
        parameters: Parameters = {"output_length": 1}
        measure(client, [[5], [6, 7]], parameters, concurrency=1, requests=3, seconds=60)
    sent = [each.inputs["input_ids"].data for each in over_http.requests if each.inputs]
    assert sent == [[5], [6, 7], [5]]
