"""Tokens on their way from a deployed server to a client, by KServe and the ingress."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import grpc
import pytest
import urllib3
from kubernetes.dynamic import DynamicClient
from tritonclient.grpc import service_pb2, service_pb2_grpc

from components.cluster import PART
from ft_serving.client import GenerationClient
from ft_serving.core.protocol import MODEL_NAME, RUNNING_METRIC
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.server.backend.asking import UNSIGNED, question
from tests.serving import GOLDEN, NEVER_GENERATED

FLAT = {"input_ids": GOLDEN["input_ids"], "input_lengths": 6, "request_output_len": 2}
BODIES: Mapping[str, Any] = {
    "generate": FLAT,
    "infer": {
        "inputs": [
            {"name": name, "datatype": "UINT32", "shape": tensor.shape, "data": tensor.tolist()}
            for name, tensor in question(2).items()
        ]
    },
}

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

LONG = 400
"""Tokens that take the server far longer than anything on their way."""

LONGEST = 480
"""Tokens, about as many as the model has room for behind a short prompt."""

SEEN = 50
"""Tokens after which a client has seen enough."""


@pytest.fixture(scope="module")
def stack(new_stack: Deploy) -> Deployment:
    return new_stack(
        {
            "serving.streaming": True,
            "serving.inputLength": 512 - LONGEST,
            "serving.outputLength": LONGEST,
        }
    )


@pytest.fixture(scope="module", params=["http", "grpc"])
def streaming(request: pytest.FixtureRequest, stack: Deployment) -> Deployment:
    """A stack that streams, by each protocol in turn; its gate has asked it."""
    stack.change({"serving.protocol": request.param})
    report = stack.up()
    assert report.succeeded, report.messages
    return stack


@pytest.fixture
def client(streaming: Deployment) -> Iterator[GenerationClient]:
    with streaming.client() as client:
        yield client


def test_tokens_come_one_by_one(client: GenerationClient) -> None:
    prompt, expected = GOLDEN["input_ids"], GOLDEN["output_ids"]
    responses = list(client.stream_ids(prompt, output_length=len(expected)))
    assert responses == [(token,) for token in expected]


def test_the_first_token_comes_before_the_last_is_computed(client: GenerationClient) -> None:
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
    """Whether a server computes anything."""
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


def test_a_call_for_one_answer_is_told_that_there_are_several(streaming: Deployment) -> None:
    if streaming.settings["serving"]["protocol"] == "grpc":
        assert "decoupled transaction policy" in refusal_by_grpc(streaming)
        return
    assert "decoupled transaction policy" in refusal_by_http(streaming, "infer")
    assert "use generate stream" in refusal_by_http(streaming, "generate")


def refusal_by_http(streaming: Deployment, verb: str) -> str:
    """What the server says to a call that takes one answer alone, without our client."""
    outputs = streaming.outputs()
    response = urllib3.request(
        "POST",
        f"{outputs['url']}/v2/models/{MODEL_NAME}/{verb}",
        json=BODIES[verb],
        headers={"Host": str(outputs["host"])},
        retries=False,
        timeout=60,
    )
    return str(json.loads(response.data)["error"])


def refusal_by_grpc(streaming: Deployment) -> str:
    outputs = streaming.outputs()
    request = service_pb2.ModelInferRequest(model_name=MODEL_NAME)
    for name, tensor in question(2).items():
        request.inputs.add(name=name, datatype=UNSIGNED[name], shape=tensor.shape)
        request.raw_input_contents.append(tensor.astype("uint32").tobytes())
    authority = [("grpc.default_authority", str(outputs["host"]))]
    address = str(outputs["url"]).removeprefix("http://")
    with (
        grpc.insecure_channel(address, authority) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    return str(refused.value.details())
