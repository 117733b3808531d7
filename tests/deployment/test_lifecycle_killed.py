"""`pulumi up` that is interrupted or killed at any moment, and the next one."""

import json
import secrets
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from kubernetes.dynamic import DynamicClient

from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.platform.waiting import wait_until
from tests.stacks.documents import shipped

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_up_that_was_ended_is_completed_by_the_next(
    new_stack: Deploy, api: DynamicClient
) -> None:
    # Another argument, which no Dockerfile takes, is another image, whose build is not done yet.
    arguments = {**shipped("dev")["image"]["client"]["args"], "RUN": secrets.token_hex(4)}
    stack = new_stack({"image.client.args": arguments})
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
    cluster = Namespace(api, stack.namespace)
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
    with suppress(OSError, ValueError):
        return bool(json.loads(stack.state()))
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
