"""Each way for a deployment to fail is told in words, within seconds; the next `up` mends it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient

from components.storage import CLAIM
from ft_serving.cluster.job_labels import ROLE, JobRole
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.pulumi_cli import Report

pytestmark = [pytest.mark.slow, pytest.mark.platform, pytest.mark.timeout(600)]

SECONDS = 150
"""The gate would wait for 240 s, and Pulumi for 60 s more. These failures take 40 s at most."""

LAG_SECONDS = 60
"""From the Job's failure, with the cause in its message, to the end of `up`."""

ABSENT = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("changes", "variables", "words"),
    [
        (
            # The misspelt setting is in a section that no other rule here needs.
            {
                "gpu.tensorParallel": 3,
                "replicas.min": 2,
                "storage.size": "1Mi",
                "hub.endpint": "http://localhost",
            },
            {},
            (
                "gpu.tensorParallel: must divide the model's",
                "replicas.max: must be at least replicas.min 2; got 1; use 2",
                "storage.size: must hold the download",
                "hub.endpint: is no setting; got a value; use endpoint",
            ),
        ),
        (
            {},
            {"DOCKER_HOST": "unix:///nowhere/docker.sock"},
            ("No Docker daemon answers at unix:///nowhere/docker.sock: start it, or set ",),
        ),
        ({"image.registry": "localhost:9"}, {}, ("localhost:9", "connection refused")),
    ],
    ids=["settings", "docker", "registry"],
)
def test_what_fails_before_anything_is_deployed_is_told(
    new_stack: Deploy,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    variables: dict[str, str],
    words: tuple[str, ...],
) -> None:
    stack = new_stack(changes)
    given: Any = stack.cli.variables
    for name, value in variables.items():
        monkeypatch.setitem(given, name, value)
    report = stack.up()
    assert not report.succeeded
    for told in words:
        assert told in report.messages
    assert "Traceback" not in report.messages
    assert not [it for it in report.steps if it.type.startswith("kubernetes:batch")]
    assert report.seconds < SECONDS


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A way to fail.

    Attributes:
        changes: The wrong settings, as changes of a sound stack's.
        words: What the user has to be told: cause, object, remedy.
        diagnosis: The cause that `diagnose` names in its first line.
    """

    changes: Mapping[str, Any]
    words: tuple[str, ...]
    diagnosis: str | None = None


FAILURES: Mapping[str, Failure] = {
    "claim": Failure(
        changes={"storage.storageClass": "nosuch"},
        words=(
            f"PersistentVolumeClaim {CLAIM} (class nosuch, ReadWriteMany, 1Gi) has no vol",
            'storageclass.storage.k8s.io "nosuch" not found',
            "`kubectl get storageclass` shows the classes there are",
        ),
    ),
    "hub": Failure(
        changes={"hub.endpoint": "http://no-such-hub.ft-serving-platform"},
        words=(
            "tiny-gptj: cannot reach http://no-such-hub.ft-serving-platform ",
            "(the last of 7 tries); check the network",
        ),
    ),
    # From here on the weights are there, and a server is what fails.
    "image": Failure(
        changes={"image.server.existing": ABSENT},
        words=(
            f"Image localhost:5000/ft-serving/server-cpu@{ABSENT} cannot be pulled: ",
            "not found. Push it, or name one that the registry has",
        ),
        diagnosis="image",
    ),
    "gpu": Failure(
        # By the engine whose release the server on CPUs reads, too.
        changes={"gpu.type": "RTX_A5000", "serving.engine": "fastertransformer"},
        words=("1 with too little nvidia.com/gpu (asked for: kserve-container 1)",),
        diagnosis="unschedulable",
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
"""Failures of one stack, in turn: the next `up` gets past each, and meets the one after it."""


@pytest.fixture(scope="module")
def stack(deployment: Deployment, new_stack: Deploy) -> Deployment:
    """A stack that is not up yet."""
    return new_stack(deployment.images())


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told(stack: Deployment, api: DynamicClient, name: str) -> None:
    assert_told(stack, api, FAILURES[name])
    if name == "claim":
        # A claim's class cannot be changed, and a claim outlives its stack.
        assert stack.destroy().succeeded
        Namespace(api, stack.namespace).delete("v1/PersistentVolumeClaim", CLAIM)


def test_the_next_up_with_sound_settings_mends_what_failed(stack: Deployment) -> None:
    stack.deploy()
    assert stack.is_right()


def assert_told(stack: Deployment, api: DynamicClient, failure: Failure) -> None:
    """Deploy what fails; check what the user is told, and when."""
    with stack.changed(resolved(failure.changes, stack.settings["image"])):
        report = stack.up()
    ended = time.time()
    told = diagnostics(report)
    assert not report.succeeded
    for words in failure.words:
        assert told.count(words) == 1, f"{words!r} is not told once:\n{told}"
    assert len(told.splitlines()) <= 20, f"the cause is drowned:\n{told}"
    assert report.seconds < SECONDS, "it was known within seconds"
    lag = ended - gate_failed_at(Namespace(api, stack.namespace))
    assert lag < LAG_SECONDS, "Pulumi waits for a Job that has failed"
    if failure.diagnosis is not None:
        code, screen = stack.diagnose()
        assert code == 1
        assert f"FAILED ({failure.diagnosis})" in screen.splitlines()[0], screen
        assert len(screen.splitlines()) <= 40


def gate_failed_at(namespace: Namespace) -> float:
    """Return when the last Job failed that tells a cause, in seconds since the epoch."""
    telling = (JobRole.DOWNLOAD_GATE.label, JobRole.SMOKE_TEST.label)
    return max(
        datetime.fromisoformat(condition["lastTransitionTime"]).timestamp()
        for job in namespace.items("batch/v1/Job", f"{ROLE} in ({', '.join(telling)})")
        for condition in job["status"].get("conditions", ())
        if condition["type"] == "Failed"
    )


def resolved(changes: Mapping[str, Any], images: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes with the name of an image in place of its short one."""
    server = images["server"]["existing"].partition("@")[0]
    return {
        path: f"{server}@{ABSENT}" if value == ABSENT else value for path, value in changes.items()
    }


def diagnostics(report: Report) -> str:
    """Return what Pulumi shows last of what went wrong; the preflight has warned of some of it."""
    _, _, text = report.messages.partition("Diagnostics:\n")
    lines = text.partition("\nResources:")[0].partition("\nOutputs:")[0].splitlines()
    return "\n".join(line for line in lines if "warning: " not in line)
