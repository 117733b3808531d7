"""A private registry's password and the hub's token: they work, and nobody sees them."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from kubernetes.dynamic import DynamicClient

from tests.deployment.conftest import Deploy
from tests.deployment.private_registry import (
    ADDRESS,
    LOGIN,
    PASSWORD,
    USER,
    private_registry,
    push,
)
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.pulumi_cli import Report
from tests.stacks.documents import shipped

pytestmark = [pytest.mark.slow, pytest.mark.platform, pytest.mark.timeout(400)]

TOKEN = "hf_a-token-that-nobody-may-see-61c0"
WRONG = "registry-password-that-is-wrong-91aa"
SECRETS = (PASSWORD, LOGIN, TOKEN, WRONG)

KINDS = (
    "apps/v1/Deployment",
    "apps/v1/ReplicaSet",
    "batch/v1/Job",
    "serving.knative.dev/v1/Revision",
    "serving.kserve.io/v1beta1/InferenceService",
    "v1/ConfigMap",
    "v1/Event",
    "v1/Pod",
    "v1/ServiceAccount",
)
"""The kinds that show what pods are told: only of Secrets the content is secret."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a registry that asks for a password."""
    folder = tmp_path_factory.mktemp("registry")
    with private_registry(folder):
        yield folder


@pytest.fixture(scope="module")
def stack(deployment: Deployment, registry: Path, new_stack: Deploy) -> Deployment:
    """A stack whose Job's image is built and pushed to that registry."""
    images = deployment.images()
    del images["image.weights"]
    made = new_stack({**images, "image.registry": ADDRESS, "image.username": USER})
    made.set_secret("registryPassword", WRONG)
    return made


class Seen:
    """The texts that a user, or anybody on the machine or in the cluster, got to see."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def report(self, what: str, stack: Deployment, report: Report) -> None:
        self.texts |= {
            f"what {what} showed": report.messages,
            f"the engine's events of {what}": stack.cli.log.read_text(),
            f"the state after {what}": stack.state(),
        }

    def namespace(self, namespace: Namespace) -> None:
        self.texts |= {kind: json.dumps(namespace.items(kind)) for kind in KINDS}
        for pod in namespace.items("v1/Pod"):
            if pod["status"]["phase"] != "Pending":
                name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
                self.texts[f"the log of {name}"] = namespace.log(name, container=container)

    def leaks(self) -> list[str]:
        return [
            f"{what} has {secret}"
            for what, text in self.texts.items()
            for secret in SECRETS
            if secret in text
        ]


@contextmanager
def watched_arguments(seen: Seen) -> Iterator[None]:
    """Collect the arguments of every process on the machine, and so those inside the node."""
    arguments: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        # Young ones more often: a push of layers that the registry has takes a tenth of a second.
        for turn in itertools.count():
            if ended.wait(0.01):
                return
            for process in psutil.process_iter():
                if turn % 10 == 0 or time.time() - process.create_time() < 1:
                    with suppress(psutil.Error):
                        arguments.add(" ".join(process.cmdline()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert any("docker" in each and " push " in f" {each} " for each in arguments), (
        "nothing was seen of the push that a password could be in"
    )
    seen.texts["a process's arguments"] = "\n".join(arguments)


def test_a_wrong_password_is_refused_at_the_pull_within_seconds(
    stack: Deployment, deployment: Deployment, registry: Path
) -> None:
    image = push(deployment.outputs()["weightsImage"], "pushed/weights", registry)
    stack.change({"image.weights": {"existing": image}})
    report = stack.up()
    assert not report.succeeded
    assert f"Image {image} cannot be pulled: " in report.messages
    assert "The registry wants credentials" in report.messages
    assert WRONG not in report.messages + stack.state()
    assert report.seconds < 120


def test_build_push_and_pull_work_and_no_secret_is_seen(
    stack: Deployment, api: DynamicClient
) -> None:
    seen = Seen()
    stack.change({"image.weights": shipped("dev")["image"]["weights"]})
    stack.set_secret("registryPassword", PASSWORD)
    with watched_arguments(seen):
        report = stack.up()
    assert report.succeeded, report.messages
    seen.report("up", stack, report)
    namespace = Namespace(api, stack.namespace)
    assert f"{ADDRESS}/ft-serving/weights@sha256:" in json.dumps(namespace.items("v1/Pod"))

    # The token needs https, which the platform's hub does not speak: the download fails, and says
    # so without it.
    stack.set_secret("hubToken", TOKEN)
    hub = "https://model-hub.ft-serving-platform:80"
    stack.change({"hub.endpoint": hub, "serving.streaming": True})
    seen.report("preview with a token", stack, stack.preview())
    report = stack.up()
    assert not report.succeeded
    assert "https://model-hub.ft-serving-platform" in report.messages
    seen.report("up with a token", stack, report)
    seen.namespace(namespace)
    assert TOKEN not in json.dumps(namespace.items("v1/Secret")), "it is there in base64 only"
    assert '"key": "token"' in json.dumps(namespace.items("batch/v1/Job")), "from a Secret"
    assert not seen.leaks()
