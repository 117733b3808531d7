"""Measurements, figure by figure."""

from ft_serving.client import GenerationClient, Parameters
from ft_serving.client.measure import Level, Sample, measure
from tests.client.fake_triton import FakeTriton, Fault


def test_a_token_of_a_stream_takes_the_time_behind_the_first() -> None:
    assert Sample(latency_s=1.5, first_token_s=0.5, tokens=5).time_per_token_s == 0.25
    assert Sample(latency_s=0.5, first_token_s=0.5, tokens=1).time_per_token_s is None


def test_a_token_of_a_whole_answer_takes_its_share() -> None:
    assert Sample(latency_s=1.5, tokens=3).time_per_token_s == 0.5
    assert Sample(latency_s=1.5, tokens=0).time_per_token_s is None


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


def test_requests_are_in_flight_at_once_up_to_the_concurrency(triton: FakeTriton) -> None:
    with GenerationClient(triton.url) as client:
        client.model()
        triton.delay_s = 0.1
        triton.faults.extend([Fault(status=500)] * 12)
        level = measure(client, [[5]], {}, concurrency=4, requests=12, seconds=60)
    assert len(level.samples) == 12
    assert level.seconds < 12 * 0.1, "one after the other would take longer"
    assert level.seconds >= 3 * 0.1, "12 requests, 4 at once, take 3 rounds"


def test_no_request_is_begun_when_the_time_is_over(triton: FakeTriton) -> None:
    with GenerationClient(triton.url) as client:
        client.model()
        triton.delay_s = 0.4
        triton.faults.extend([Fault(status=500)] * 1000)
        level = measure(client, [[5]], {}, concurrency=2, requests=1000, seconds=1)
    assert 4 <= len(level.samples) <= 6
    assert level.seconds < 4
    assert not level.good
    [[message, count]] = level.errors.items()
    assert "answered 500" in message
    assert count == len(level.samples)


def test_prompts_are_taken_in_turn(triton: FakeTriton) -> None:
    with GenerationClient(triton.url) as client:
        parameters: Parameters = {"output_length": 1}
        measure(client, [[5], [6, 7]], parameters, concurrency=1, requests=3, seconds=60)
    sent = [request.body["inputs"][0]["data"] for request in triton.requests if request.body]
    assert sent == [[5], [6, 7], [5]]
