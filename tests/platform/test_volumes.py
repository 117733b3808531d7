"""Volumes of the platform's storage class."""

from pathlib import Path

import pytest
from kubernetes.dynamic import DynamicClient

from local_platform.settings import VOLUMES
from tests.platform.cluster import Namespace, bound, has_ended
from tests.platform.manifests import claim, pod, python
from tests.platform.waiting import wait_until

pytestmark = pytest.mark.platform

WRITE = "import pathlib; pathlib.Path('/data/kept').write_text('written by user 1000')"
READ = "import pathlib; print(pathlib.Path('/data/kept').read_text())"

MEET = """
import pathlib, sys, time
mine, other = (pathlib.Path("/data") / name for name in {names!r})
mine.touch()
deadline = time.monotonic() + 90
while not other.exists():
    if time.monotonic() > deadline:
        sys.exit("the other pod's file did not appear")
    time.sleep(0.05)
"""


def folder_of(namespace: Namespace, name: str) -> Path:
    (folder,) = VOLUMES.glob(f"{namespace.name}-{name}-*")
    return folder


def test_what_an_unprivileged_pod_wrote_outlives_it(namespace: Namespace, base_image: str) -> None:
    namespace.create(claim("kept"))

    namespace.run(pod("writer", python(base_image, WRITE), claim="kept"))
    namespace.delete("v1/Pod", "writer")

    read = namespace.run(pod("reader", python(base_image, READ), claim="kept"))
    assert read == "written by user 1000\n"


def test_two_pods_share_a_volume_at_the_same_time(namespace: Namespace, base_image: str) -> None:
    namespace.create(claim("shared"))
    for name, other in (("one", "other"), ("other", "one")):
        program = MEET.format(names=(name, other))
        namespace.create(pod(name, python(base_image, program), claim="shared"))

    ended = [namespace.wait("v1/Pod", name, has_ended, seconds=120) for name in ("one", "other")]

    assert [one["status"]["phase"] for one in ended] == ["Succeeded", "Succeeded"]


def test_a_claim_that_asks_for_more_gets_more(namespace: Namespace) -> None:
    namespace.create(claim("growing", "1Gi"))
    before = namespace.wait("v1/PersistentVolumeClaim", "growing", bound)
    assert before["status"]["capacity"] == {"storage": "1Gi"}

    more = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    namespace.patch("v1/PersistentVolumeClaim", "growing", more)

    grown = namespace.wait(
        "v1/PersistentVolumeClaim",
        "growing",
        lambda one: one["status"]["capacity"] == {"storage": "3Gi"},
        seconds=20,
    )
    assert grown["spec"]["volumeName"] == before["spec"]["volumeName"], "grown in place"


def test_a_deleted_claim_takes_its_volume_and_its_files_along(
    namespace: Namespace, api: DynamicClient
) -> None:
    namespace.create(claim("doomed"))
    volume = namespace.wait("v1/PersistentVolumeClaim", "doomed", bound)["spec"]["volumeName"]
    folder = folder_of(namespace, "doomed")
    (folder / "file").write_text("something")

    namespace.delete("v1/PersistentVolumeClaim", "doomed")

    wait_until(lambda: not folder.exists(), f"{folder} is still there")
    wait_until(lambda: volume not in volumes(api), f"{volume} is still there")


def volumes(api: DynamicClient) -> list[str]:
    found = api.resources.get(api_version="v1", kind="PersistentVolume").get()
    return [one.metadata.name for one in found.items]
