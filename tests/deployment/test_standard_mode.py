"""Mode Standard: a Deployment instead of Knative, with all that a user was promised."""

import http.client
from urllib.parse import urlsplit

import pytest
from kubernetes.dynamic import DynamicClient

from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace

pytestmark = [pytest.mark.slow, pytest.mark.platform]

PREDICTOR = "fastertransformer-triton-predictor"


@pytest.fixture(scope="module")
def deployment(new_stack: Deploy) -> Deployment:
    made = new_stack({"serving.mode": "Standard", "replicas.max": 2, "scheduling.spareGpu": False})
    report = made.up()
    assert report.succeeded, report.messages
    return made


@pytest.fixture(scope="module")
def namespace(api: DynamicClient, deployment: Deployment) -> Namespace:
    return Namespace(api, deployment.namespace)


def test_the_endpoint_answers_through_the_ingress(deployment: Deployment) -> None:
    answer = deployment.ask("Mary has a little lamb.", 8)
    assert answer.text == " Its fleece is white as snow,"


def test_url_and_host_are_all_that_a_script_needs(deployment: Deployment) -> None:
    outputs = deployment.outputs()
    connection = http.client.HTTPConnection(urlsplit(outputs["url"]).netloc, timeout=30)
    connection.request("GET", "/v2/health/ready", headers={"Host": outputs["host"]})
    assert connection.getresponse().status == http.client.OK
    connection.close()


def test_replicas_have_their_bounds(namespace: Namespace) -> None:
    spec = namespace.get("autoscaling/v2/HorizontalPodAutoscaler", PREDICTOR)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 2)
    (metric,) = spec["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"]["averageUtilization"] == 80


def test_a_rollout_needs_no_room_for_two(deployment: Deployment, namespace: Namespace) -> None:
    (before,) = pods(namespace)
    deployment.change({"resources.cpu": "110m"})
    report = deployment.up()
    assert report.succeeded, report.messages
    assert "replace" not in report.operations("inference-service")
    (after,) = pods(namespace)
    assert before != after
    strategy = namespace.get("apps/v1/Deployment", PREDICTOR)["spec"]["strategy"]
    assert strategy["type"] == "Recreate", "the old pod's GPU is the new one's"
    assert deployment.ask("Mary has a little lamb.", 8).text == " Its fleece is white as snow,"


def pods(namespace: Namespace) -> list[str]:
    found = namespace.items("v1/Pod", f"app=isvc.{PREDICTOR}")
    return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]
