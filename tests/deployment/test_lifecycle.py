"""A stack is up, changed, changed by hand, destroyed. Each test begins where the last one ended."""

import re
from collections.abc import Iterator

import pytest
from kubernetes.dynamic import DynamicClient

from components.kserve import NAME
from components.storage import CLAIM
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.deployment.test_previews import changes
from tests.platform.cluster import Namespace
from tests.serving import GOLDEN

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = "serving.kserve.io/v1beta1/InferenceService"
CLAIMS = "v1/PersistentVolumeClaim"
POLICIES = "networking.k8s.io/v1/NetworkPolicy"


@pytest.fixture(scope="module")
def stack(deployment: Deployment, new_stack: Deploy) -> Deployment:
    """A stack whose claim is protected, up."""
    made = new_stack({**deployment.images(), "storage.protect": True})
    made.deploy()
    return made


def made_by_jobs(cluster: Namespace) -> Iterator[tuple[str, str]]:
    """Yield the stack's Jobs, each with what its last pod wrote."""
    for job in cluster.items("batch/v1/Job"):
        name = job["metadata"]["name"]
        (*_, pod) = cluster.items("v1/Pod", f"batch.kubernetes.io/job-name={name}")
        yield name, cluster.log(pod["metadata"]["name"])


def log_of(cluster: Namespace, job: str) -> str:
    """Return what the stack's only Job of a kind wrote."""
    (text,) = [
        text for name, text in made_by_jobs(cluster) if re.fullmatch(f"{job}-[0-9a-f]{{12}}", name)
    ]
    return text


def test_up_ends_with_the_right_answer_and_a_second_one_changes_nothing(
    stack: Deployment, cluster: Namespace
) -> None:
    assert GOLDEN["text"] in log_of(cluster, "smoke-test")
    assert stack.is_right()
    assert changes(stack.deploy()) == frozenset()


def test_what_was_changed_by_hand_is_put_right_by_refresh_and_up(
    stack: Deployment, cluster: Namespace
) -> None:
    cluster.patch(SERVICE, NAME, {"spec": {"predictor": {"maxReplicas": 5}}})
    cluster.patch(CLAIMS, CLAIM, {"metadata": {"labels": {"app.kubernetes.io/name": "else"}}})
    cluster.delete(POLICIES, "ft-serving-server")
    assert stack.refresh().succeeded
    done = {(name, operation) for name, operation, _ in changes(stack.deploy())}
    assert done >= {
        ("inference-service", "update"),
        ("storage", "update"),
        ("access-server", "create"),
    }
    assert cluster.get(SERVICE, NAME)["spec"]["predictor"]["maxReplicas"] == 1
    assert (
        cluster.get(CLAIMS, CLAIM)["metadata"]["labels"]["app.kubernetes.io/name"] == "ft-serving"
    )
    assert cluster.find(POLICIES, "ft-serving-server")


def test_a_protected_claim_stops_destroy_before_anything_is_deleted(stack: Deployment) -> None:
    report = stack.destroy()
    assert not report.succeeded
    assert "protect" in report.messages
    assert stack.is_right()


def test_a_deleted_service_is_made_again_with_the_settings_of_now(
    stack: Deployment, cluster: Namespace
) -> None:
    before = {job for job, _ in made_by_jobs(cluster)}
    cluster.delete(SERVICE, NAME)
    assert stack.refresh().succeeded
    stack.change({"replicas.max": 2, "storage.protect": False})
    stack.deploy()
    assert cluster.get(SERVICE, NAME)["spec"]["predictor"]["maxReplicas"] == 2
    after = {job for job, _ in made_by_jobs(cluster)}
    assert {it for it in before ^ after if not it.startswith("smoke-test-")} == set(), (
        "only the smoke test ran again"
    )
    assert stack.is_right()


def test_destroy_leaves_the_weights_and_other_stacks(
    stack: Deployment, deployment: Deployment, cluster: Namespace
) -> None:
    for _ in range(2):
        report = stack.destroy()
        assert report.succeeded, report.messages
    assert cluster.find(SERVICE, NAME) is None
    assert not cluster.items("batch/v1/Job")
    assert cluster.get(CLAIMS, CLAIM)["status"]["phase"] == "Bound"
    assert deployment.is_right()


def test_the_next_up_finds_the_weights_and_destroy_deletes_them_when_asked(
    stack: Deployment, cluster: Namespace, api: DynamicClient
) -> None:
    stack.change({"storage.deleteWeightsOnDestroy": True})
    stack.deploy()
    assert "was there and is valid" in log_of(cluster, "model-download")
    assert stack.is_right()
    report = stack.destroy()
    assert report.succeeded, report.messages
    assert not stack.namespace_exists(api), "the namespace went with the weights"
