"""A stack is up, changed, changed by hand, destroyed. Each test begins where the last one ended."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient

from components.inference_service import NAME
from components.storage import CLAIM
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.pulumi_cli import Report
from tests.serving import GOLDEN

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = "serving.kserve.io/v1beta1/InferenceService"
CLAIMS = "v1/PersistentVolumeClaim"
POLICIES = "networking.k8s.io/v1/NetworkPolicy"

Changes = frozenset[tuple[str, str, frozenset[str]]]
"""Resources: each by its name, what is done with it, and the paths where it differs."""


@pytest.fixture(scope="module")
def stack(deployment: Deployment, new_stack: Deploy) -> Deployment:
    """A stack whose claim is protected, up."""
    made = new_stack({**deployment.images(), "storage.protect": True})
    made.deploy()
    return made


def changes(report: Report) -> Changes:
    """Return what was done, each resource once; what is read is not changed."""
    ignored = {"same", "read", "create-replacement", "delete-replaced"}
    return frozenset(
        (step.name, step.operation, frozenset(named(path, step.inputs) for path in step.paths))
        for step in report.steps
        if step.operation not in ignored
    )


def named(path: str, inputs: Mapping[str, Any]) -> str:
    """Return a path, with the option's name in place of an argument's index."""
    found = re.fullmatch(r"(.*args)\[(\d+)\]", path)
    if not found:
        return path
    spec = inputs["spec"]
    (container,) = (spec.get("predictor") or spec["template"]["spec"])["containers"]
    return f"{found[1]} {container['args'][int(found[2])].partition('=')[0]}"


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


PREDICTOR, POD = "spec.predictor", "spec.template.spec"
CONTAINER, ARGS = f"{PREDICTOR}.containers[0]", f"{POD}.containers[0].args"
TOLD = 'metadata.annotations["ft-serving.dev/{}"]'
INGRESS = "namespaceSelector.matchExpressions[0].values"


def serve(*paths: str, asked: tuple[str, ...] = ()) -> Changes:
    """The service changes in place, and is tested anew."""
    return frozenset(
        {
            ("inference-service", "update", frozenset(paths)),
            ("smoke-test", "replace", frozenset({"metadata.name", *asked})),
        }
    )


def prepare(download: set[str], collection: set[str]) -> Changes:
    """The Jobs of releases run again. A preview does not know the uid that the gate is named by."""
    return frozenset(
        {
            ("model-download", "replace", frozenset(download)),
            ("model-download-gate", "replace", frozenset()),
            ("release-collection", "replace", frozenset(collection)),
        }
    )


PREVIEWS: Mapping[str, tuple[dict[str, Any], Changes]] = {
    "how it is served": (
        {"replicas.max": 3, "serving.batch": 4, "resources.memory": "1Gi"},
        serve(
            f"{PREDICTOR}.maxReplicas",
            f"{PREDICTOR}.scaleTarget",
            f"{PREDICTOR}.containerConcurrency",
            f"{CONTAINER}.resources.limits.memory",
            f"{CONTAINER}.resources.requests.memory",
        ),
    ),
    "which release": (
        {
            "model.revision": "f" * 40,
            "model.dtype": "fp16",
            "gpu.tensorParallel": 2,
            "serving.streaming": True,
        },
        serve(f"{CONTAINER}.args --model-repository", asked=(f"{ARGS} --tokenizer",))
        | prepare(
            {
                "metadata.name",
                *map(
                    TOLD.format,
                    ("release", "model", "dtype", "compute-dtype", "tensor-parallel", "streaming"),
                ),
                *(
                    f"{ARGS} --{option}"
                    for option in (
                        *("revision", "dtype", "compute-dtype", "tensor-parallel", "streaming"),
                    )
                ),
            },
            {"metadata.name", f"{ARGS} --keep"},
        ),
    ),
    "where it runs": (
        {"scheduling.region": "LAS1", "scheduling.tolerations": [{"key": "spot"}]},
        serve(
            f"{PREDICTOR}.affinity",
            f"{PREDICTOR}.tolerations",
            asked=(f"{POD}.affinity", f"{POD}.tolerations"),
        )
        | prepare(*[{f"{POD}.affinity", f"{POD}.tolerations"}] * 2),
    ),
    "what is around it": (
        {
            "storage.size": "2Gi",
            "storage.keepReleases": 3,
            "cluster.ingressNamespaces": ["knative-serving"],
        },
        frozenset(
            {
                ("storage", "update", frozenset({"spec.resources.requests.storage"})),
                (
                    "release-collection",
                    "replace",
                    frozenset({"metadata.name", f"{ARGS} --newest"}),
                ),
                *(
                    (
                        f"access-{part}",
                        "update",
                        frozenset(f"{at}.{INGRESS}[{n}]" for n in range(6)),
                    )
                    for part, at in (
                        ("gate", "spec.egress[2].to[0]"),
                        ("server", "spec.ingress[0].from[0]"),
                    )
                ),
            }
        ),
    ),
    "nothing": ({"storage.size": "1024Mi", "storage.protect": False}, frozenset()),
}


@pytest.mark.parametrize(("settings", "expected"), PREVIEWS.values(), ids=PREVIEWS)
def test_a_preview_shows_what_settings_change_and_nothing_else(
    stack: Deployment, settings: dict[str, Any], expected: Changes
) -> None:
    with stack.changed(settings):
        report = stack.preview()
    assert report.succeeded, report.messages
    assert changes(report) == expected


def test_another_mode_is_another_service(stack: Deployment) -> None:
    with stack.changed({"serving.mode": "Standard"}):
        report = stack.preview()
    assert report.succeeded, report.messages
    assert "replace" in report.operations("inference-service")


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


def test_a_deleted_service_is_made_again_with_the_settings_of_now(
    stack: Deployment, cluster: Namespace
) -> None:
    before = {job for job, _ in made_by_jobs(cluster)}
    cluster.delete(SERVICE, NAME)
    assert stack.refresh().succeeded
    stack.change({"replicas.max": 2})
    stack.deploy()
    assert cluster.get(SERVICE, NAME)["spec"]["predictor"]["maxReplicas"] == 2
    after = {job for job, _ in made_by_jobs(cluster)}
    assert {it for it in before ^ after if not it.startswith("smoke-test-")} == set(), (
        "only the smoke test ran again"
    )
    assert stack.is_right()


def test_a_protected_claim_stops_destroy_before_anything_is_deleted(stack: Deployment) -> None:
    report = stack.destroy()
    assert not report.succeeded
    assert "protect" in report.messages
    assert stack.is_right()


def test_destroy_leaves_the_weights_and_other_stacks(
    stack: Deployment, deployment: Deployment, cluster: Namespace
) -> None:
    stack.change({"storage.protect": False})
    stack.deploy()
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
