"""Replicas that come with requests and go with them, down to none."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from kubernetes.dynamic import DynamicClient

from ft_serving.core.errors import FtServingError
from tests.deployment.conftest import Deploy
from tests.deployment.load import Load, Tally
from tests.deployment.program import Deployment
from tests.platform.cluster import Document, Namespace, ready
from tests.platform.waiting import wait_until
from tests.serving import GOLDEN, TINY_GPTJ, ft_serving

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

SERVICE = "serving.kserve.io/v1beta1/InferenceService"
SERVERS = "serving.kserve.io/inferenceservice"

AT_ONCE = 24
"""Requests that meet a service that sleeps: three times as many as a replica takes at once."""

LOAD = 6
"""Requests at once that are more than one replica is to have, by `scaleTarget`."""

WATCHED_S = 15
"""Longer than the platform's autoscaler looks back, so that it would have scaled by then."""


@pytest.fixture(scope="module")
def sleeper(new_stack: Deploy) -> Deployment:
    """A stack that has been up for the first time, with no replica that has to stay."""
    deployment = new_stack({"replicas": {"min": 0, "max": 2, "scaleTarget": 2}})
    report = deployment.up()
    assert report.succeeded, report.messages
    assert report.step("smoke-test").operation == "create", "the gate has asked it"
    return deployment


@pytest.fixture(scope="module")
def cluster(api: DynamicClient, sleeper: Deployment) -> Namespace:
    return Namespace(api, sleeper.namespace)


def servers(cluster: Namespace) -> list[Document]:
    """The pods that are there or starting; those that end get no more requests."""
    pods = cluster.items("v1/Pod", SERVERS)
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def fall_asleep(cluster: Namespace) -> None:
    """Wait until nothing runs."""
    wait_until(lambda: not servers(cluster), "A service without requests still has pods", 120)


def ask(deployment: Deployment) -> str:
    """Ask the golden question as a new client does; return what became of it."""
    try:
        answer = deployment.ask(GOLDEN["prompt"], GOLDEN["request_output_len"])
    except FtServingError as exc:
        return f"failed: {exc}"
    return "right" if list(answer.output_ids) == GOLDEN["output_ids"] else "wrong"


def under_load(
    deployment: Deployment, concurrency: int, until: Callable[[], object], otherwise: str
) -> Tally:
    """Ask all the time until a condition holds; return what became of the requests."""
    with (
        deployment.client() as client,
        Load(client, GOLDEN["input_ids"], GOLDEN["output_ids"], concurrency=concurrency) as load,
    ):
        wait_until(until, otherwise, 90)
    return load.tally()


def assert_all_right(tally: Tally) -> None:
    assert tally.right == tally.sent > 0, f"some answers were lost or wrong: {tally}"


def test_a_service_that_may_sleep_is_ready_and_then_sleeps(
    sleeper: Deployment, cluster: Namespace
) -> None:
    fall_asleep(cluster)
    assert ready(cluster.get(SERVICE, "fastertransformer-triton")), "asleep, it can be asked"


def test_the_next_request_wakes_it_up(sleeper: Deployment, cluster: Namespace) -> None:
    fall_asleep(cluster)
    outputs = sleeper.outputs()
    done: subprocess.CompletedProcess[str] = ft_serving(
        *("generate", "--url", outputs["url"], "--host-header", outputs["host"]),
        *("--tokenizer", str(TINY_GPTJ), "--prompt", GOLDEN["prompt"]),
        *("--output-length", str(GOLDEN["request_output_len"])),
    )
    assert done.stdout == f"Output: {GOLDEN['prompt']}{GOLDEN['text']}\n", done.stderr


def test_requests_that_meet_it_asleep_all_get_their_answers(
    sleeper: Deployment, cluster: Namespace
) -> None:
    fall_asleep(cluster)
    with ThreadPoolExecutor(AT_ONCE) as clients:
        found = Counter(clients.map(ask, [sleeper] * AT_ONCE))
    assert found == {"right": AT_ONCE}, f"of {AT_ONCE} requests: {dict(found)}"


def test_replicas_come_with_load_and_go_with_it(sleeper: Deployment, cluster: Namespace) -> None:
    def two() -> bool:
        return sum(map(ready, servers(cluster))) == 2

    tally = under_load(sleeper, LOAD, two, "No second replica has come")
    assert_all_right(tally)
    fall_asleep(cluster)


def test_one_replica_stays_one_under_load(sleeper: Deployment, cluster: Namespace) -> None:
    sleeper.change({"replicas.min": 1, "replicas.max": 1})
    report = sleeper.up()
    assert report.succeeded, report.messages
    wait_until(lambda: len(servers(cluster)) == 1, "There is not one replica", 60)
    [before] = [pod["metadata"]["uid"] for pod in servers(cluster)]
    seen: set[str] = set()
    end = time.monotonic() + WATCHED_S

    def watched() -> bool:
        seen.update(pod["metadata"]["uid"] for pod in servers(cluster))
        return time.monotonic() > end

    tally = under_load(sleeper, AT_ONCE, watched, "Time stands still")
    assert_all_right(tally)
    assert seen == {before}
