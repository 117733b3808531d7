"""A stack that is up: what `up` does again, what each change does, and what was changed by hand."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from components.inference_service import NAME
from components.storage import CLAIM
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.pulumi_cli import Report
from tests.serving import GOLDEN

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = "serving.kserve.io/v1beta1/InferenceService"

Change = tuple[str, str, frozenset[str]]
"""A resource, what is done with it, and where it differs."""

Changes = frozenset[Change]


@pytest.fixture(scope="module")
def deployment(new_stack: Deploy) -> Deployment:
    """A stack whose claim is protected, up."""
    made = new_stack({"storage.protect": True})
    report = made.up()
    assert report.succeeded, report.messages
    return made


def test_the_first_up_ends_with_the_right_answer(
    deployment: Deployment, cluster: Namespace
) -> None:
    (job,) = [it for it in jobs(cluster) if it.startswith("smoke-test-")]
    (pod,) = cluster.items("v1/Pod", f"batch.kubernetes.io/job-name={job}")
    assert GOLDEN["text"] in cluster.log(pod["metadata"]["name"])
    answer = deployment.ask(GOLDEN["prompt"], GOLDEN["request_output_len"])
    assert list(answer.output_ids) == GOLDEN["output_ids"]


def test_the_second_up_changes_nothing(deployment: Deployment, cluster: Namespace) -> None:
    before = jobs(cluster)
    report = deployment.up()
    assert report.succeeded, report.messages
    assert changes(report) == frozenset()
    assert jobs(cluster) == before, "no Job ran again"
    print(f"up without a change in {report.seconds:.1f} s")


def container(path: str) -> str:
    return f"spec.predictor.containers[0].{path}"


def change(name: str, operation: str, *paths: str) -> Change:
    return name, operation, frozenset(paths)


# A preview does not know the uid of the download that owns the gate. Pulumi's plugin then names no
# fields.
GATE = change("model-download-gate", "replace")


def serve(*paths: str, asked: tuple[str, ...] = ()) -> Changes:
    """The service changes in place, and is tested anew."""
    return frozenset(
        {
            change("inference-service", "update", *paths),
            change("smoke-test", "replace", "metadata.name", *asked),
        }
    )


ARGS = "spec.template.spec.containers[0].args"


def release(option: str, annotation: str, *asked: str) -> Changes:
    """Another release is prepared beside the served one, and the service goes over to it."""
    return serve(container("args --model-repository"), asked=asked) | {
        change(
            "model-download",
            "replace",
            f'metadata.annotations["ft-serving.dev/{annotation}"]',
            'metadata.annotations["ft-serving.dev/release"]',
            "metadata.name",
            f"{ARGS} {option}",
        ),
        GATE,
        change("release-collection", "replace", "metadata.name", f"{ARGS} --keep"),
    }


def placed(field: str) -> Changes:
    """The service goes to other nodes, and so do the Jobs, which find nothing to do."""
    new = f"spec.template.spec.{field}"
    return serve(f"{PREDICTOR}.{field}", asked=(new,)) | {
        change("model-download", "replace", new),
        GATE,
        change("release-collection", "replace", new),
    }


PREDICTOR = "spec.predictor"
IMAGE = "spec.template.spec.containers[0].image"
LIMITS = ("resources.limits", "resources.requests")
SIZE = "spec.resources.requests.storage"

TABLE: list[tuple[dict[str, Any], Changes]] = [
    ({"replicas.max": 3}, serve(f"{PREDICTOR}.maxReplicas")),
    ({"replicas.scaleTarget": 3}, serve(f"{PREDICTOR}.scaleTarget")),
    (
        {"serving.batch": 4},
        serve(f"{PREDICTOR}.containerConcurrency", f"{PREDICTOR}.scaleTarget"),
    ),
    ({"resources.memory": "1Gi"}, serve(*(container(f"{it}.memory") for it in LIMITS))),
    ({"model.dtype": "fp16", "model.computeDtype": "fp32"}, release("--dtype", "dtype")),
    ({"gpu.tensorParallel": 2}, release("--tensor-parallel", "tensor-parallel")),
    ({"serving.streaming": True}, release("--streaming", "streaming")),
    ({"model.revision": "f" * 40}, release("--revision", "model", f"{ARGS} --tokenizer")),
    (
        {"storage.keepReleases": 3},
        frozenset(
            {
                change(
                    "release-collection",
                    "replace",
                    "metadata.name",
                    f"{ARGS} --newest",
                )
            }
        ),
    ),
    ({"storage.size": "2Gi"}, frozenset({change("storage", "update", SIZE)})),
    ({"storage.size": "1024Mi"}, frozenset()),
    ({"storage.protect": False}, frozenset()),
    ({"scheduling.region": "LAS1"}, placed("affinity")),
    ({"scheduling.tolerations": [{"key": "spot"}]}, placed("tolerations")),
    (
        {"image.client.args.BASE_IMAGE": "localhost:5000/platform/other:current"},
        frozenset(
            {
                change("client", "update", "build", "imageName"),
                change("model-download-gate", "replace", "metadata.name", IMAGE),
                change("smoke-test", "replace", "metadata.name", IMAGE),
            }
        ),
    ),
    (
        {"cluster.ingressNamespaces": ["knative-serving"]},
        frozenset(
            {
                change(
                    f"access-{part}",
                    "update",
                    *(
                        f"{rule}.namespaceSelector.matchExpressions[0].values[{n}]"
                        for n in range(6)
                    ),
                )
                for part, rule in (
                    ("gate", "spec.egress[2].to[0]"),
                    ("server", "spec.ingress[0].from[0]"),
                )
            }
        ),
    ),
]


@pytest.mark.parametrize(
    ("settings", "expected"), TABLE, ids=[", ".join(settings) for settings, _ in TABLE]
)
def test_a_preview_shows_what_a_setting_changes_and_nothing_else(
    deployment: Deployment, settings: dict[str, Any], expected: Changes
) -> None:
    with changed(deployment, settings):
        report = deployment.preview()
    assert report.succeeded, report.messages
    assert changes(report) == expected


def test_the_mode_of_a_service_is_changed_by_another_service(deployment: Deployment) -> None:
    with changed(deployment, {"serving.mode": "Standard"}):
        report = deployment.preview()
    assert report.succeeded, report.messages
    assert report.operations("inference-service")[1:] == [
        "delete-replaced",
        "replace",
        "create-replacement",
    ]


def test_a_cold_start_budget_reaches_the_service_and_its_test(deployment: Deployment) -> None:
    with changed(deployment, {"coldStart.budgetSeconds": 240}):
        found = {name: paths for name, _, paths in changes(deployment.preview())}
    assert set(found) == {"inference-service", "smoke-test"}
    progress = 'spec.predictor.annotations["serving.knative.dev/progress-deadline"]'
    assert progress in found["inference-service"]
    assert "spec.activeDeadlineSeconds" in found["smoke-test"]


def test_a_protected_claim_is_not_replaced(deployment: Deployment) -> None:
    with changed(deployment, {"storage.storageClass": "other"}):
        report = deployment.preview()
    assert not report.succeeded
    assert "protect" in report.messages


def test_a_change_of_replicas_touches_the_service_and_its_test(
    deployment: Deployment, cluster: Namespace
) -> None:
    before = jobs(cluster)
    with changed(deployment, {"replicas.max": 2}):
        report = deployment.up()
        assert report.succeeded, report.messages
        assert {name for name, _, _ in changes(report)} == {"inference-service", "smoke-test"}
        kept = {it for it in before if not it.startswith("smoke-test-")}
        assert kept < jobs(cluster), "the download did not run again"
        print(f"another number of replicas in {report.seconds:.1f} s")
    report = deployment.up()
    assert report.succeeded, report.messages


def test_what_was_changed_by_hand_is_put_right_by_refresh_and_up(
    deployment: Deployment, cluster: Namespace
) -> None:
    policy = "networking.k8s.io/v1/NetworkPolicy"
    claim = "v1/PersistentVolumeClaim"
    cluster.patch(SERVICE, NAME, {"spec": {"predictor": {"maxReplicas": 5}}})
    cluster.patch(claim, CLAIM, {"metadata": {"labels": {"app.kubernetes.io/name": "else"}}})
    cluster.delete(policy, "ft-serving-server")
    assert deployment.refresh().succeeded
    report = deployment.up()
    assert report.succeeded, report.messages
    assert {(name, operation) for name, operation, _ in changes(report)} >= {
        ("inference-service", "update"),
        ("storage", "update"),
        ("access-server", "create"),
    }
    assert cluster.get(SERVICE, NAME)["spec"]["predictor"]["maxReplicas"] == 1
    assert cluster.get(claim, CLAIM)["metadata"]["labels"]["app.kubernetes.io/name"] == "ft-serving"
    assert cluster.find(policy, "ft-serving-server")


def test_a_deleted_service_is_made_again_by_refresh_and_up(
    deployment: Deployment, cluster: Namespace
) -> None:
    cluster.delete(SERVICE, NAME)
    assert deployment.refresh().succeeded
    report = deployment.up()
    assert report.succeeded, report.messages
    answer = deployment.ask(GOLDEN["prompt"], GOLDEN["request_output_len"])
    assert list(answer.output_ids) == GOLDEN["output_ids"]
    assert deployment.preview().succeeded
    assert changes(deployment.preview()) == frozenset()


def changes(report: Report) -> Changes:
    """What was done, each resource once; what is read is not changed."""
    ignored = {"same", "read", "create-replacement", "delete-replaced"}
    return frozenset(
        change(step.name, step.operation, *(named(path, step.inputs) for path in step.paths))
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


def jobs(cluster: Namespace) -> set[str]:
    """The names of the Jobs there are."""
    return {job["metadata"]["name"] for job in cluster.items("batch/v1/Job")}


@contextmanager
def changed(deployment: Deployment, settings: Mapping[str, Any]) -> Iterator[None]:
    """A deployment with other settings, until the context ends."""
    before = deployment.settings
    deployment.change(settings)
    try:
        yield
    finally:
        deployment.replace(before)
