"""The end of a stack: with its weights and without, and with another stack beside it."""

import pytest
from kubernetes.dynamic import DynamicClient

from components.inference_service import NAME
from components.storage import CLAIM
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.serving import GOLDEN

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = "serving.kserve.io/v1beta1/InferenceService"
CLAIMS = "v1/PersistentVolumeClaim"


@pytest.fixture(scope="module")
def neighbour(new_stack: Deploy) -> Deployment:
    """Another stack that is up in a namespace of its own."""
    made = new_stack()
    report = made.up()
    assert report.succeeded, report.messages
    return made


@pytest.fixture(scope="module")
def deployment(new_stack: Deploy) -> Deployment:
    """A stack whose claim is protected, up."""
    made = new_stack({"storage.protect": True})
    report = made.up()
    assert report.succeeded, report.messages
    return made


def test_two_stacks_answer_side_by_side(deployment: Deployment, neighbour: Deployment) -> None:
    assert deployment.outputs()["url"] != "" and deployment.namespace != neighbour.namespace
    for stack in (deployment, neighbour):
        assert answers(stack)


def test_a_protected_claim_stops_destroy_before_anything_is_deleted(
    deployment: Deployment,
) -> None:
    report = deployment.destroy()
    assert not report.succeeded
    assert "protect" in report.messages
    assert answers(deployment)


def test_destroy_leaves_protected_weights_and_other_stacks(
    deployment: Deployment, neighbour: Deployment, cluster: Namespace
) -> None:
    for _ in range(2):
        report = deployment.destroy("--exclude-protected")
        assert report.succeeded, report.messages
    assert cluster.find(SERVICE, NAME) is None
    assert not cluster.items("batch/v1/Job")
    assert cluster.get(CLAIMS, CLAIM)["status"]["phase"] == "Bound"
    assert answers(neighbour)


def test_the_next_up_finds_the_weights(deployment: Deployment, cluster: Namespace) -> None:
    report = deployment.up()
    assert report.succeeded, report.messages
    print(f"up with the weights found in {report.seconds:.0f} s")
    assert found_the_weights(cluster)
    assert answers(deployment)


def test_an_unprotected_stack_is_destroyed_but_for_its_weights(
    deployment: Deployment, cluster: Namespace
) -> None:
    deployment.change({"storage.protect": False})
    assert deployment.up().succeeded
    for _ in range(2):
        report = deployment.destroy()
        assert report.succeeded, report.messages
    assert cluster.get(CLAIMS, CLAIM)["status"]["phase"] == "Bound"


def test_destroy_removes_the_weights_when_asked(deployment: Deployment, api: DynamicClient) -> None:
    deployment.change({"storage.deleteWeightsOnDestroy": True})
    assert deployment.up().succeeded
    for _ in range(2):
        report = deployment.destroy()
        assert report.succeeded, report.messages
    namespaces = api.resources.get(api_version="v1", kind="Namespace")
    selector = f"kubernetes.io/metadata.name={deployment.namespace}"
    assert not namespaces.get(label_selector=selector).items, "the namespace went with them"


def found_the_weights(cluster: Namespace) -> bool:
    """Whether the download had nothing to do."""
    (pod,) = (
        name
        for name in (it["metadata"]["name"] for it in cluster.items("v1/Pod"))
        if name.startswith("model-download-") and not name.startswith("model-download-gate-")
    )
    return "was there and is valid" in cluster.log(pod)


def answers(stack: Deployment) -> bool:
    """Whether the golden question has the golden answer."""
    answer = stack.ask(GOLDEN["prompt"], GOLDEN["request_output_len"])
    return answer.output_ids == tuple(GOLDEN["output_ids"])
