"""What happens to requests when the pods of a deployment, or its weights, come to harm."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from components.inference_service import NAME
from local_platform.settings import VOLUMES
from tests.deployment.faults import Record, under_load
from tests.deployment.program import Deployment
from tests.platform import host
from tests.platform.cluster import Document, Namespace, ready
from tests.platform.waiting import wait_until
from tests.pulumi_cli import platform_variables

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SERVER = "app.kubernetes.io/component=server"


def server_pod(cluster: Namespace) -> Document:
    """The server's pod: the one that is not being deleted."""
    (pod,) = [
        pod for pod in cluster.items("v1/Pod", SERVER) if "deletionTimestamp" not in pod["metadata"]
    ]
    return pod


def delete(cluster: Namespace) -> None:
    cluster.begin_deletion("v1/Pod", server_pod(cluster)["metadata"]["name"])


def delete_by_force(cluster: Namespace) -> None:
    cluster.begin_deletion("v1/Pod", server_pod(cluster)["metadata"]["name"], grace_seconds=0)


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
    deployment: Deployment,
    cluster: Namespace,
    record_property: Record,
    harm: Callable[[Namespace], None],
) -> None:
    with under_load(deployment, record_property) as watched:
        harm(cluster)
        watched.wait_for_recovery()


def test_altered_weights_are_never_served_and_are_made_anew(
    deployment: Deployment, cluster: Namespace, record_property: Record
) -> None:
    release = str(deployment.outputs()["release"])
    (volume,) = VOLUMES.glob(f"{deployment.namespace}-*")
    weight = volume / "triton-model-store" / release / "fastertransformer/1/model.wte.bin"
    altered = bytes(byte ^ 0x55 for byte in weight.read_bytes())

    with under_load(deployment, record_property) as watched:
        with weight.open("r+b") as file:
            file.write(altered)
        watched.wait_for_recovery()  # What is served has been read before.

        delete(cluster)
        wait_until(
            lambda: "model.wte.bin: has sha256" in diagnosed(deployment.namespace),
            "nothing says why",
            seconds=60,
        )
        # As the diagnosis advises.
        report = deployment.up("--replace", "**model-download")
        assert report.succeeded, report.messages
        delete(cluster)
    assert weight.read_bytes() != altered
    cluster.wait("serving.kserve.io/v1beta1/InferenceService", NAME, ready)


def diagnosed(namespace: str) -> str:
    """What `ft-serving diagnose` says of a stack."""
    command = ("ft-serving", "diagnose", "--namespace", namespace, "--json")
    variables = {**os.environ, **platform_variables()}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
