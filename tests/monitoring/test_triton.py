"""The real server's metrics: those that are used, and what they count."""

import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from ft_serving.core.protocol import DURATION_METRIC
from tests.monitoring.files import GPU, TRITON, exposed, metrics
from tests.platform.waiting import wait_until
from tests.server.backend.asking import Tensors, ask_http, question, stream
from tests.serving import Served

NOT_A_TOKEN = (99999,)


def scrape(server: Served) -> str:
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.URLError:
            # Triton opens this port after those that say whether it is ready.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def value(server: Served, metric: str) -> float:
    """The sum of a metric's series."""
    lines = [line for line in scrape(server).splitlines() if line.startswith(f"{metric}{{")]
    assert lines, metric
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def wait_for_requests(server: Served, count: float) -> None:
    """Wait until so many requests are counted, which is a moment after their answers."""
    deadline = time.monotonic() + 10
    while value(server, "nv_inference_request_success") < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert value(server, "nv_inference_request_success") == count


@pytest.mark.slow
@pytest.mark.parametrize("server", ["plain_server", "streaming_server"])
def test_every_metric_of_triton_that_is_used_is_there(
    server: str, request: pytest.FixtureRequest
) -> None:
    used = {name for name in metrics() if name.startswith(TRITON) and not name.startswith(GPU)}
    assert len(used) > 5
    assert used - exposed(scrape(request.getfixturevalue(server))) == set()


def test_every_metric_of_gpus_that_is_used_was_there_with_one() -> None:
    recorded = Path(__file__).parent / "recorded" / "triton-on-an-h200.txt"
    used = {name for name in metrics() if name.startswith(GPU)}
    assert len(used) == 3
    assert used - exposed(recorded.read_text()) == set()


def whole_stream(server: Served, tensors: Tensors) -> int:
    """The number of responses to a request."""
    with stream(server.grpc) as asked:
        asked.send(tensors)
        count, is_last = 0, False
        while not is_last:
            _, _, is_last = asked.next()
            count += 1
    return count


@pytest.mark.slow
def test_a_stream_counts_as_one_request_with_a_duration(
    streaming_server: Served,
) -> None:
    before = [value(streaming_server, f"nv_inference_{name}") for name in ("count", "exec_count")]
    requests = value(streaming_server, "nv_inference_request_success")
    microseconds = value(streaming_server, DURATION_METRIC)
    begin = time.monotonic()
    assert whole_stream(streaming_server, question()) == 38
    seconds = time.monotonic() - begin
    wait_for_requests(streaming_server, requests + 1)
    wait_until(
        lambda: value(streaming_server, DURATION_METRIC) > microseconds, "its duration is not told"
    )
    after = [value(streaming_server, f"nv_inference_{name}") for name in ("count", "exec_count")]
    assert after == [each + 1 for each in before]
    lasted = (value(streaming_server, DURATION_METRIC) - microseconds) / 1e6
    assert lasted < seconds


@pytest.mark.slow
def test_an_error_of_the_engine_for_cpus_counts_as_a_success(plain_server: Served) -> None:
    """So errors are told by Knative's queue, which sees their status."""
    successes = value(plain_server, "nv_inference_request_success")
    failures = value(plain_server, "nv_inference_request_failure")
    with pytest.raises(InferenceServerException, match="must be from 0 to 1023"):
        ask_http(plain_server.http, question(prompt=NOT_A_TOKEN))
    wait_for_requests(plain_server, successes + 1)
    assert value(plain_server, "nv_inference_request_failure") == failures
