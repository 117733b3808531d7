"""Tokens reach a client one by one, by KServe and the ingress."""

import re
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from kubernetes.dynamic import DynamicClient

from components.cluster import PART
from ft_serving.client import GenerationClient
from ft_serving.core.protocol import RUNNING_METRIC
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.serving import GOLDEN, NEVER_GENERATED

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

LONG = 400
"""Tokens that take the server far longer than anything on their way."""

LONGEST = 480
"""Tokens, about as many as the model has room for behind a short prompt."""

SEEN = 50
"""Tokens after which a client has seen enough."""


@pytest.fixture(scope="module")
def stack(deployment: Deployment, new_stack: Deploy) -> Deployment:
    lengths = {"serving.inputLength": 512 - LONGEST, "serving.outputLength": LONGEST}
    return new_stack({**deployment.images(), "serving.streaming": True, **lengths})


@pytest.fixture(scope="module", params=["http", "grpc"])
def streaming(request: pytest.FixtureRequest, stack: Deployment) -> Deployment:
    """A stack that streams, by each protocol in turn."""
    stack.change({"serving.protocol": request.param})
    stack.deploy()
    return stack


@pytest.fixture
def client(streaming: Deployment) -> Iterator[GenerationClient]:
    with streaming.client() as client:
        yield client


def test_tokens_come_one_by_one_the_first_before_the_last_is_computed(
    client: GenerationClient,
) -> None:
    expected = GOLDEN["output_ids"]
    responses = list(client.stream_ids(GOLDEN["input_ids"], output_length=len(expected)))
    assert responses == [(token,) for token in expected]
    began, arrivals = time.monotonic(), []
    endless = client.stream_ids(GOLDEN["input_ids"], output_length=LONG, end_id=NEVER_GENERATED)
    for tokens in endless:
        arrivals += [time.monotonic() - began] * len(tokens)
    assert len(arrivals) == LONG
    first, middle, last = arrivals[0], arrivals[LONG // 2], arrivals[-1]
    told = f"the first after {first:.2f} s, the middle {middle:.2f} s, the last {last:.2f} s"
    assert first < last / 4, f"something on the way holds tokens back: {told}"
    assert last / 4 < middle < 3 * last / 4, f"something on the way holds tokens back: {told}"


def test_a_stream_that_is_given_up_is_computed_no_further(
    streaming: Deployment, client: GenerationClient, api: DynamicClient
) -> None:
    with closing(
        client.stream_ids(GOLDEN["input_ids"], output_length=LONGEST, end_id=NEVER_GENERATED)
    ) as stream:
        next(stream)
        began = time.monotonic()
        for _ in range(SEEN):
            next(stream)
        left = (time.monotonic() - began) / SEEN * (LONGEST - SEEN)
    began = time.monotonic()
    while _running(api, streaming.namespace):
        seconds = time.monotonic() - began
        assert seconds < left / 2, (
            f"{seconds:.1f} s later it is computed on, for nobody; the rest takes {left:.1f} s"
        )


def _running(api: DynamicClient, namespace: str) -> bool:
    """Return whether a server computes anything."""
    pods = Namespace(api, namespace).items("v1/Pod", f"{PART}=server")
    answers = [
        api.request(
            "get",
            f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}:8002/proxy/metrics",
            header_params={"Accept": "text/plain"},
            serialize=False,
        ).data.decode()
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
    ]
    assert answers
    counts = [re.findall(rf"^{RUNNING_METRIC}{{.*}} (\d+)$", text, re.M) for text in answers]
    return any(int(count) for (count,) in counts)
