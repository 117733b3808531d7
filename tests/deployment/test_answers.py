"""Answers through KServe and the ingress: token by token, and by the OpenAI API."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient

from components.cluster import PART
from ft_serving.client import GenerationClient
from ft_serving.core.protocol import RUNNING_METRIC
from tests import coroutines
from tests.deployment.conftest import LONGEST, STREAMING, Deploy
from tests.deployment.program import Deployment, openai_options
from tests.platform.cluster import Namespace
from tests.serving import GOLDEN, NEVER_GENERATED

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

LONG = 400
"""Tokens that take the server far longer than anything on their way."""

SEEN = 50
"""Tokens after which a client has seen enough."""

ASKED: dict[str, Any] = {
    "model": "tiny-gptj",
    "prompt": GOLDEN["prompt"],
    "max_tokens": GOLDEN["request_output_len"],
    "temperature": 0,
}


@pytest.fixture(scope="module", params=["http", "grpc"])
def streaming(
    request: pytest.FixtureRequest, deployment: Deployment, new_stack: Deploy
) -> Deployment:
    """A stack that streams by each protocol: by HTTP, the one that others read, too."""
    if request.param == "http":
        return deployment
    made = new_stack({**deployment.images(), **STREAMING, "serving.protocol": request.param})
    made.deploy()
    return made


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


def test_the_official_client_gets_the_golden_answer_beside_the_models_own_protocol(
    deployment: Deployment,
) -> None:
    # Not above: every process collects this file, and loading the client takes a second.
    import openai

    options = openai_options(deployment)
    with openai.OpenAI(**options) as client:
        assert [model.id for model in client.models.list()] == ["tiny-gptj"]
        answer = client.completions.create(**ASKED)
        assert answer.choices[0].text == GOLDEN["text"]
        assert answer.usage is not None
        assert answer.usage.completion_tokens == GOLDEN["request_output_len"]
        with client.completions.create(**ASKED, stream=True) as parts:
            assert "".join(part.choices[0].text for part in parts) == GOLDEN["text"]
        with pytest.raises(openai.BadRequestError, match="chatTemplate"):
            client.chat.completions.create(
                model="tiny-gptj", messages=[{"role": "user", "content": "Sing."}]
            )

    async def asynchronously() -> str:
        async with openai.AsyncOpenAI(**options) as client:
            return str((await client.completions.create(**ASKED)).choices[0].text)

    assert coroutines.run(asynchronously()) == GOLDEN["text"]
    assert deployment.is_right()
