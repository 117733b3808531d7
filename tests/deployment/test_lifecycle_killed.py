"""`pulumi up` that is killed at any moment, and the next one."""

import json
import secrets
import time
from contextlib import suppress

import psutil
import pytest
from kubernetes.dynamic import DynamicClient

from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.stacks.documents import shipped

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

PHASES = ("client", "model-download-gate", "smoke-test")
"""The resources of which the one under way is half done: an image is built and pushed, the model is
downloaded, the service starts and is asked."""


def test_an_up_that_was_killed_is_completed_by_the_next(
    new_stack: Deploy, api: DynamicClient
) -> None:
    # Another argument, which no Dockerfile takes, is another image, whose build is not done yet.
    arguments = {**shipped("dev")["image"]["client"]["args"], "RUN": secrets.token_hex(4)}
    stack = new_stack({"image.client.args": arguments})
    for phase in PHASES:
        kill_in(stack, phase)
        stack.cancel()
    report = stack.up()
    assert report.succeeded, report.messages

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
    assert len(cluster.items("serving.kserve.io/v1beta1/InferenceService")) == 1
    revisions = cluster.items("serving.knative.dev/v1/Revision")
    assert len(revisions) == 1, "the service was made once"
    report = stack.preview()
    assert {it.operation for it in report.steps} <= {"same", "read"}


def kill_in(stack: Deployment, phase: str) -> None:
    """Start `pulumi up` and kill it, with its plugins, while it works on a resource."""
    process = stack.start_up()
    deadline = time.monotonic() + 120
    while phase not in stack.under_way():
        assert process.poll() is None, f"it ended before {phase}"
        assert time.monotonic() < deadline, f"{phase} did not begin"
        time.sleep(0.05)
    group = psutil.Process(process.pid)
    for each in (group, *group.children(recursive=True)):
        # A command of Docker's may have ended by itself.
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
