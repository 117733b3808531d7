"""Each way for a deployment to fail is told in words, within seconds, and mended from there."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient

from ft_serving.cluster.job_labels import ROLE, JobRole
from tests.deployment.conftest import Deploy
from tests.deployment.images import existing_images
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.pulumi_cli import Report

pytestmark = [pytest.mark.slow, pytest.mark.platform]

# Deployments that fail mostly wait.
AT_ONCE = 3

# The gate would wait for 240 s, and Pulumi for 60 s more. These cases are known after 40 s at most.
SECONDS = 150

# From the Job's failure, with the cause in its message, to the end of `up`.
LAG_SECONDS = 60

# The Jobs that tell a cause.
TELLING = (JobRole.DOWNLOAD_GATE.label, JobRole.SMOKE_TEST.label)

ABSENT = f"sha256:{'0' * 64}"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A way to fail.

    Attributes:
        changes: What is wrong, as changes of a sound stack's settings.
        words: What a user has to be told: cause, object, remedy.
        mended: What mends it; a change of the settings back, if it is not given.
    """

    changes: Mapping[str, Any]
    words: tuple[str, ...]
    mended: Callable[[Deployment, Namespace], None] | None = field(default=None)


def small_quota(name: str, memory: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name},
        "spec": {"hard": {"requests.memory": memory}},
    }


def raise_quota(_: Deployment, namespace: Namespace) -> None:
    namespace.patch("v1/ResourceQuota", "team", small_quota("team", "8Gi"))


def remove_claim(stack: Deployment, namespace: Namespace) -> None:
    """A claim's class cannot be changed, and a claim outlives its stack."""
    report = stack.destroy()
    assert report.succeeded, report.messages
    namespace.delete("v1/PersistentVolumeClaim", "ft-serving-models")


FAILURES: Mapping[str, Failure] = {
    "image": Failure(
        changes={"image.server.existing": ABSENT},
        words=(
            f"Image localhost:5000/ft-serving/server-cpu@{ABSENT} cannot be pulled: ",
            "not found. Push it, or name one that the registry has",
        ),
    ),
    "memory": Failure(
        changes={"resources.memory": "500Gi"},
        words=(
            "Pod fastertransformer-triton-predictor-",
            "fits on no node: 0/1 nodes are available: ",
            "1 with too little memory (asked for: kserve-container 500Gi",
            "Ask for what a node has (`kubectl describe nodes` shows it)",
        ),
    ),
    "gpu": Failure(
        # By the engine whose release the server on CPUs reads, too.
        changes={"gpu.type": "RTX_A5000", "serving.engine": "fastertransformer"},
        words=("1 with too little nvidia.com/gpu (asked for: kserve-container 1)",),
    ),
    "crash": Failure(
        changes={"image.server.existing": "client"},
        words=(
            "Container kserve-container of pod fastertransformer-triton-predictor-",
            "ended with exit code 2 (Error)",
            "No such option: --model-repository",
        ),
    ),
    "quota": Failure(
        # More than the quota alone: it must not matter whose pod comes first.
        changes={"resources.memory": "2Gi"},
        words=(
            "Quota team of namespace ",
            "is exceeded: requested requests.memory=",
            "allowed requests.memory=1100Mi. Raise the quota, ask for less",
        ),
        mended=raise_quota,
    ),
    "claim": Failure(
        changes={"storage.storageClass": "nosuch"},
        words=(
            "PersistentVolumeClaim ft-serving-models (class nosuch, ReadWriteMany, 1Gi) has no vol",
            'storageclass.storage.k8s.io "nosuch" not found',
            "`kubectl get storageclass` shows the classes there are",
        ),
        mended=remove_claim,
    ),
    "revision": Failure(
        changes={"model.revision": "0" * 40},
        words=(
            "Job model-download-",
            f"tiny-gptj: no revision '{'0' * 40}' at http://model-hub.ft-serving-platform",
            "give a branch, a tag or a commit of this model",
        ),
    ),
    "hub": Failure(
        changes={"hub.endpoint": "http://no-such-hub.ft-serving-platform"},
        words=(
            "tiny-gptj: cannot reach http://no-such-hub.ft-serving-platform ",
            "(the last of 7 tries); check the network",
        ),
    ),
    "answer": Failure(
        changes={
            "golden": {
                "prompt": "Mary has a little lamb.",
                "outputLength": 8,
                "expectedTokenIds": [1, 2, 3],
            }
        },
        words=(
            "The service is ready and gives a wrong answer",
            "Asked:    'Mary has a little lamb.'",
            "Expected: the tokens 1,2,3",
            "Got:      ' Its fleece is white as snow,'",
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Course:
    """What came of a failure: of the first `up`, and of the one after it was mended.

    Attributes:
        failed: The first `up`.
        lag_seconds: How long that went on after the gate's Job had failed.
        mended: The second `up`.
    """

    failed: Report
    lag_seconds: float
    mended: Report


def run(failure: Failure, sound: Deployment, new_stack: Deploy, api: DynamicClient) -> Course:
    images = existing_images(sound)
    stack = new_stack(images)
    namespace = Namespace(api, stack.namespace)
    if failure.mended is raise_quota:
        api.resources.get(api_version="v1", kind="Namespace").create(
            body={"metadata": {"name": stack.namespace}}
        )
        namespace.create(small_quota("team", "1100Mi"))
    sound_settings = stack.settings
    stack.change(resolved(failure.changes, images))
    failed = stack.up()
    lag_seconds = time.time() - gate_failed_at(namespace)
    if failure.mended:
        failure.mended(stack, namespace)
    stack.settings = sound_settings
    stack.change({})
    course = Course(failed=failed, lag_seconds=lag_seconds, mended=stack.up())
    # Idle servers would slow down those that are still to start.
    namespace.delete("serving.kserve.io/v1beta1/InferenceService", "fastertransformer-triton")
    return course


def gate_failed_at(namespace: Namespace) -> float:
    """Return when the Job failed that tells the cause, in seconds since the epoch."""
    (moment,) = (
        condition["lastTransitionTime"]
        for job in namespace.items("batch/v1/Job", f"{ROLE} in ({', '.join(TELLING)})")
        for condition in job["status"].get("conditions", ())
        if condition["type"] == "Failed"
    )
    return datetime.fromisoformat(moment).timestamp()


def resolved(changes: Mapping[str, Any], images: Mapping[str, Any]) -> dict[str, Any]:
    """Changes with the name of an image in place of its short one."""
    server = images["image.server"]["existing"].partition("@")[0]
    names = {ABSENT: f"{server}@{ABSENT}", "client": images["image.client"]["existing"]}
    return {
        path: names.get(value, value) if isinstance(value, str) else value
        for path, value in changes.items()
    }


@pytest.fixture(scope="module")
def courses(
    request: pytest.FixtureRequest, deployment: Deployment, new_stack: Deploy, api: DynamicClient
) -> Iterator[Mapping[str, "Future[Course]"]]:
    """All failures that this session is about, a few at once."""
    chosen = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(run, FAILURES[name], deployment, new_stack, api) for name in chosen
        }
        pool.shutdown(cancel_futures=True)


def diagnostics(report: Report) -> str:
    """What Pulumi shows last of what went wrong; the preflight has warned of some of it."""
    _, _, text = report.messages.partition("Diagnostics:\n")
    lines = text.partition("\nResources:")[0].partition("\nOutputs:")[0].splitlines()
    return "\n".join(line for line in lines if "warning: " not in line)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_and_mended(name: str, courses: Mapping[str, "Future[Course]"]) -> None:
    course = courses[name].result()
    told = diagnostics(course.failed)
    assert not course.failed.succeeded
    for words in FAILURES[name].words:
        assert told.count(words) == 1, f"{words!r} is not told once:\n{told}"
    assert len(told.splitlines()) <= 20, f"the cause is drowned:\n{told}"
    assert course.lag_seconds < LAG_SECONDS, "Pulumi waits for a Job that has failed"
    assert course.failed.seconds < SECONDS, "it was known within seconds"
    assert course.mended.succeeded, diagnostics(course.mended)
