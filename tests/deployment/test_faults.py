"""A deployment comes to harm: Pulumi, its pods or its weights. Requests and state stay right.

Each test begins where the last one ended.
"""

import json
import secrets
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from local_platform.settings import VOLUMES
from tests.deployment.conftest import Deploy
from tests.deployment.load import Record, under_load
from tests.deployment.program import Deployment
from tests.platform import host
from tests.platform.cluster import Document, Namespace
from tests.platform.waiting import wait_until
from tests.stacks.documents import shipped

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SERVER = "app.kubernetes.io/component=server"


@pytest.fixture(scope="module")
def stack(new_stack: Deploy) -> Deployment:
    """A stack that is not up yet, and of which one image is not built."""
    # Another argument, which no Dockerfile takes, is another image.
    arguments = {**shipped("dev")["image"]["client"]["args"], "RUN": secrets.token_hex(4)}
    return new_stack({"image.client.args": arguments})


def test_an_up_that_was_ended_is_completed_by_the_next(
    stack: Deployment, cluster: Namespace
) -> None:
    # While an image is built, while the model is downloaded, while the service starts.
    end_in(stack, "client", signal.SIGKILL)
    end_in(stack, "model-download-gate", signal.SIGKILL)
    end_in(stack, "smoke-test", signal.SIGINT)
    stack.deploy()

    # Pulumi warns of the creations that it saw no end of until it is told that they are known.
    assert stack.refresh("--clear-pending-creates").succeeded
    state = json.loads(stack.state())["checkpoint"]["latest"]
    assert not state.get("pending_operations")
    urns = [it["urn"] for it in state["resources"]]
    assert len(urns) == len(set(urns)), "nothing waits for its deletion"
    known = {
        it["id"].rpartition("/")[2] for it in state["resources"] if it["type"].endswith(":Job")
    }
    assert {it["metadata"]["name"] for it in cluster.items("batch/v1/Job")} == known
    revisions = cluster.items("serving.knative.dev/v1/Revision")
    assert len(revisions) == 1, "the service was made once"
    report = stack.preview()
    assert {it.operation for it in report.steps} <= {"same", "read"}


def end_in(stack: Deployment, phase: str, number: signal.Signals) -> None:
    """Start `pulumi up`, and end it while it works on a resource: by force with its plugins."""
    process = stack.start_up()
    wait_until(lambda: phase in stack.under_way() or process.poll() is not None, f"no {phase}", 120)
    assert process.poll() is None, f"it ended before {phase}"
    if number is signal.SIGINT:
        process.send_signal(number)
        assert process.wait(timeout=60) != 0
        return
    group = psutil.Process(process.pid)
    wait_until(lambda: stopped_between_writes(group, stack), "the state is never whole")
    for each in (group, *group.children(recursive=True)):
        # A command of Docker's may have ended by itself.
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    stack.cancel()


def stopped_between_writes(process: psutil.Process, stack: Deployment) -> bool:
    """Stop Pulumi; let it go on if it is writing its state, which a kill would cut off."""
    process.suspend()
    # A thread that waits for the disk stops when that is done.
    wait_until(lambda: thread_states(process) == {"T"}, "it does not stop")
    if stack.state_is_whole():
        return True
    process.resume()
    return False


def thread_states(process: psutil.Process) -> set[str]:
    """Return the states of a process's threads, as proc_pid_stat(5) has them."""
    states = set()
    for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        # A thread may have ended.
        with suppress(OSError):
            states.add(stat.read_text().rpartition(")")[2].split()[0])
    return states


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
