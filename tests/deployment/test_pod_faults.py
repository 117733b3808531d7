"""Pods of a deployment, or its weights, come to harm: no request is lost or answered wrongly."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local_platform.settings import VOLUMES
from tests.deployment.load import Record, under_load
from tests.deployment.program import Deployment
from tests.platform import host
from tests.platform.cluster import Document, Namespace
from tests.platform.waiting import wait_until

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SERVER = "app.kubernetes.io/component=server"


def server_pod(cluster: Namespace) -> Document:
    """Return the server's pod, once no pod of an earlier revision is beside it."""
    found: list[Document] = []

    def is_one() -> bool:
        found[:] = [
            pod
            for pod in cluster.items("v1/Pod", SERVER)
            if "deletionTimestamp" not in pod["metadata"]
        ]
        return len(found) == 1

    wait_until(is_one, "there is not exactly one server pod", 60)
    return found[0]


def delete(cluster: Namespace, grace_seconds: int | None = None) -> None:
    cluster.begin_deletion("v1/Pod", server_pod(cluster)["metadata"]["name"], grace_seconds)


def delete_by_force(cluster: Namespace) -> None:
    delete(cluster, grace_seconds=0)


def kill_triton(cluster: Namespace) -> None:
    kill(cluster, "tritonserver")


def kill_the_process_with_the_model(cluster: Namespace) -> None:
    kill(cluster, "triton_python_backend_stub")


def kill(cluster: Namespace, program: str) -> None:
    """Kill a process of the pod, as the system does for memory."""
    processes = host.processes_of(server_pod(cluster)["metadata"]["uid"])
    (process,) = [one for one in processes if Path(one.cmdline()[0]).name == program]
    process.kill()
    process.wait(10)


@pytest.mark.parametrize(
    "harm", [delete, delete_by_force, kill_triton, kill_the_process_with_the_model]
)
def test_requests_outlive_the_only_pod(
    stack: Deployment,
    cluster: Namespace,
    record_property: Record,
    harm: Callable[[Namespace], None],
) -> None:
    with under_load(stack, record_property):
        harm(cluster)


def test_altered_weights_are_never_served_are_named_and_made_anew(
    stack: Deployment, cluster: Namespace, record_property: Record
) -> None:
    release = str(stack.outputs()["release"])
    (volume,) = VOLUMES.glob(f"{stack.namespace}-*")
    weight = volume / "triton-model-store" / release / "fastertransformer/1/model.wte.bin"
    altered = bytes(byte ^ 0x55 for byte in weight.read_bytes())

    with under_load(stack, record_property) as load:
        with weight.open("r+b") as file:
            file.write(altered)
        load.wait_for_recovery()  # The server has read them before.

        stack.change({"resources.cpu": "110m"})
        report = stack.up()
        assert not report.succeeded
        assert "The model cannot be loaded: " in report.messages
        assert "model.wte.bin" in report.messages
        assert "pulumi up --replace '**model-download'" in report.messages
        load.wait_for_recovery()  # The old server goes on.

        stack.deploy("--replace", "**model-download")
        delete(cluster)
    assert weight.read_bytes() != altered
