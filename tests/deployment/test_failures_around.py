"""What fails before anything is deployed, or beside it; an interrupted `up`; damaged weights."""

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_platform.settings import KUBECONFIG, VOLUMES
from tests.deployment.conftest import Deploy
from tests.deployment.images import existing_images
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace

pytestmark = [pytest.mark.slow, pytest.mark.platform]

SOUND = " Its fleece is white as snow,"


def test_wrong_settings_are_told_all_at_once_and_nothing_is_made(
    new_stack: Deploy, cluster: Namespace
) -> None:
    stack = new_stack(
        {
            "gpu.tensorParallel": 3,
            "replicas.min": 2,
            "storage.size": "1Mi",
            "hub.endpint": "http://localhost",
        }
    )
    report = stack.up()
    assert not report.succeeded
    for told in (
        "gpu.tensorParallel: must divide the model's",
        "replicas.max: must be at least replicas.min 2; got 1; use 2",
        "storage.size: must hold the download",
        "hub.endpint: is no setting; got a value; use endpoint",
    ):
        assert report.messages.count(told) == 1, f"{told}: {report.messages}"
    assert "Traceback" not in report.messages
    assert not report.steps
    assert report.seconds < 60


def unreachable(folder: Path) -> Path:
    """A kubeconfig whose API server nobody serves."""
    document = yaml.safe_load(KUBECONFIG.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (folder / "kubeconfig").write_text(yaml.safe_dump(document))
    return folder / "kubeconfig"


def test_a_cluster_that_does_not_answer_is_named(new_stack: Deploy, tmp_path: Path) -> None:
    report = new_stack({"cluster.kubeconfig": str(unreachable(tmp_path))}).up()
    assert not report.succeeded
    assert "https://127.0.0.1:9" in report.messages
    assert "Traceback" not in report.messages
    assert report.seconds < 60


def test_a_registry_that_does_not_answer_is_named(
    new_stack: Deploy, deployment: Deployment
) -> None:
    outputs = deployment.outputs()
    stack = new_stack(
        {
            "image.registry": "localhost:9",
            "image.server": {"existing": outputs["serverImage"]},
            "image.client": {"existing": outputs["clientImage"]},
        }
    )
    report = stack.up()
    assert not report.succeeded
    assert "localhost:9" in report.messages
    assert "connection refused" in report.messages
    assert report.seconds < 120


def test_a_docker_engine_that_does_not_run_is_named(
    new_stack: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = new_stack()
    variables: Any = stack.cli.variables
    monkeypatch.setitem(variables, "DOCKER_HOST", "unix:///nowhere/docker.sock")
    report = stack.up()
    assert not report.succeeded
    told = "No Docker daemon answers at unix:///nowhere/docker.sock: start it, or set DOCKER_HOST"
    assert told in report.messages
    assert report.seconds < 60


def test_an_interrupted_up_ends_and_the_next_one_goes_on(
    deployment: Deployment, cluster: Namespace
) -> None:
    deployment.change({**existing_images(deployment), "resources.cpu": "110m"})
    tests = {name(job) for job in cluster.items("batch/v1/Job")}
    running = deployment.start_up()
    deadline = time.monotonic() + 60
    while {name(job) for job in cluster.items("batch/v1/Job")} <= tests:
        assert time.monotonic() < deadline, "the smoke test has not begun"
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) != 0
    report = deployment.up()
    assert report.succeeded, report.messages
    assert deployment.ask("Mary has a little lamb.", 8).text == SOUND


def test_damaged_weights_are_named_and_made_again(deployment: Deployment) -> None:
    release = deployment.outputs()["release"]
    (weights,) = VOLUMES.glob(
        f"{deployment.namespace}-*/triton-model-store/{release}/**/model.wte.bin"
    )
    content = bytearray(weights.read_bytes())
    content[100:200] = bytes(100)
    weights.write_bytes(content)
    # With the images as they are: another one of the download would look at the weights again.
    deployment.change({**existing_images(deployment), "resources.cpu": "120m"})
    report = deployment.up()
    assert not report.succeeded
    assert "The model cannot be loaded: " in report.messages
    assert "model.wte.bin" in report.messages
    assert "pulumi up --replace '**model-download'" in report.messages
    assert deployment.ask("Mary has a little lamb.", 8).text == SOUND, "the old server goes on"

    report = deployment.up("--replace", "**model-download")
    assert report.succeeded, report.messages
    assert deployment.ask("Mary has a little lamb.", 8).text == SOUND


def name(document: Mapping[str, Any]) -> str:
    return str(document["metadata"]["name"])
