"""A pod that fails can be understood through the API alone."""

from typing import Any

import pytest

from local_platform.settings import REGISTRY
from tests.platform.cluster import Namespace, has_ended
from tests.platform.manifests import container, pod, python
from tests.platform.waiting import wait_until

pytestmark = pytest.mark.platform

FAIL = """
import pathlib, sys
print("about to fail")
pathlib.Path("/dev/termination-log").write_text("ROOT CAUSE: no such release")
sys.exit(3)
"""


def test_a_failed_container_leaves_its_status_its_message_and_its_log(
    namespace: Namespace, base_image: str
) -> None:
    namespace.create(pod("failing", python(base_image, FAIL)))

    ended = namespace.wait("v1/Pod", "failing", has_ended)

    assert ended["status"]["phase"] == "Failed"
    terminated = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["exitCode"] == 3
    assert terminated["message"] == "ROOT CAUSE: no such release"
    assert namespace.log("failing") == "about to fail\n"


def test_an_image_that_is_not_in_the_registry_is_named_in_an_event(namespace: Namespace) -> None:
    missing = f"{REGISTRY}/none@sha256:{'0' * 64}"
    namespace.create(pod("imageless", container(missing)))

    namespace.wait("v1/Pod", "imageless", waits_for_its_image)

    def named() -> bool:
        messages = [
            event["message"]
            for event in namespace.items("v1/Event")
            if event["involvedObject"]["name"] == "imageless" and event["reason"] == "Failed"
        ]
        return any(missing in message and "not found" in message for message in messages)

    # kubelet tells the status first.
    wait_until(named, "no event names the image")


def waits_for_its_image(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses", ())
    reasons = {status["state"].get("waiting", {}).get("reason") for status in statuses}
    return bool(reasons & {"ErrImagePull", "ImagePullBackOff"})


def test_a_container_that_takes_more_memory_than_its_limit_is_ended_for_it(
    namespace: Namespace, base_image: str
) -> None:
    hungry = python(base_image, "print(len(b'x' * 10**9))")
    hungry["resources"] = {"limits": {"memory": "32Mi"}}
    namespace.create(pod("hungry", hungry))

    ended = namespace.wait("v1/Pod", "hungry", has_ended)

    terminated = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["reason"] == "OOMKilled"
    assert terminated["exitCode"] == 137
