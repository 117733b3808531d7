"""Replicas that come with requests and go with them, down to none."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from kubernetes.dynamic import DynamicClient

from ft_serving.core.errors import FtServingError
from tests.deployment.conftest import Deploy
from tests.deployment.load import Load
from tests.deployment.program import Deployment, openai_options
from tests.platform.cluster import Document, Namespace, ready
from tests.platform.waiting import wait_until
from tests.serving import GOLDEN

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = "serving.kserve.io/v1beta1/InferenceService"

AT_ONCE = 24
"""Requests that meet a service that sleeps: three times as many as a replica takes at once."""


def servers(cluster: Namespace) -> list[Document]:
    """Return the pods that are there or starting; those that end get no more requests."""
    pods = cluster.items("v1/Pod", "serving.kserve.io/inferenceservice")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def awake(cluster: Namespace) -> list[Document]:
    """Return the revisions whose status does not tell that they sleep."""
    return [
        revision
        for revision in cluster.items("serving.knative.dev/v1/Revision")
        if ("Active", "NoTraffic")
        not in {(it["type"], it.get("reason")) for it in revision["status"]["conditions"]}
    ]


def fall_asleep(cluster: Namespace) -> None:
    wait_until(lambda: not servers(cluster), "A service without requests still has pods", 120)


def ask(stack: Deployment) -> str:
    """Ask the golden question as a new client does; return the outcome."""
    try:
        return "right" if stack.is_right() else "wrong"
    except FtServingError as exc:
        return f"failed: {exc}"


def ask_openai(stack: Deployment) -> str:
    """Ask it as a user of the OpenAI API does, whose client asks again by itself."""
    # Not above: every process collects this file, and loading the client takes a second.
    import openai

    with openai.OpenAI(**openai_options(stack)) as client:
        try:
            answer = client.completions.create(
                model=stack.settings["model"]["repository"],
                prompt=GOLDEN["prompt"],
                max_tokens=GOLDEN["request_output_len"],
                temperature=0,
            )
        except openai.OpenAIError as exc:
            return f"failed: {exc}"
    return "right" if answer.choices[0].text == GOLDEN["text"] else "wrong"


def test_a_service_that_sleeps_is_sound_wakes_up_for_all_requests_and_grows_with_them(
    deployment: Deployment, new_stack: Deploy, api: DynamicClient
) -> None:
    replicas = {"replicas": {"min": 0, "max": 2, "scaleTarget": 2}}
    sleeper = new_stack({**deployment.images(), **replicas, "serving.openai": True})
    sleeper.deploy()
    cluster = Namespace(api, sleeper.namespace)
    fall_asleep(cluster)
    assert ready(cluster.get(SERVICE, "fastertransformer-triton")), "asleep, it can be asked"
    # A revision's status follows a moment later.
    wait_until(lambda: not awake(cluster), "A revision without pods is not idle", 60)
    assert "  READY, scaled to zero" in sleeper.diagnose()[1]

    with ThreadPoolExecutor(AT_ONCE) as clients:
        asking = [ask, ask_openai] * (AT_ONCE // 2)
        found = Counter(clients.map(lambda it: it(sleeper), asking))
    assert found == {"right": AT_ONCE}

    with sleeper.client() as client:
        with Load(client, concurrency=6) as load:
            wait_until(
                lambda: sum(map(ready, servers(cluster))) == 4,
                "No second replica of the server and of the API has come",
                90,
            )
        assert load.counts().keys() == {tuple(GOLDEN["output_ids"])}
    fall_asleep(cluster)
