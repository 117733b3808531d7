"""A first deployment whose volume gets full, and whose hub goes away, during the download."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from kubernetes.dynamic import DynamicClient

from components.storage import CLAIM
from local_platform.node import namespace as node
from local_platform.settings import NODE_ADDRESS, VOLUMES
from tests.deployment.conftest import Deploy
from tests.deployment.load import Record
from tests.deployment.program import Deployment
from tests.platform import host
from tests.platform.cluster import Namespace, bound
from tests.platform.manifests import claim
from tests.platform.waiting import wait_until
from tests.pulumi_cli import Report
from tests.serving import TINY_GPTJ
from tests.stacks.documents import ROOT

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

PORT = 18090
MODEL_BYTES = (TINY_GPTJ / "model.safetensors").stat().st_size
HUB_DOWN_SECONDS = 8
SMALL_BYTES = 32 << 20
"""The volume's size: a download begins only where there is room for it."""


@contextmanager
def slow_hub() -> Iterator[None]:
    """Run a hub that takes its time, in the node; see `tests.deployment.slow_hub`."""
    command = [sys.executable, "-m", "tests.deployment.slow_hub", str(PORT)]
    process = subprocess.Popen(node.entering(command), env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        yield
    finally:
        # nsenter's child is the one in the node's namespace of process ids.
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.wait(10)


class Volume:
    """The claim that a stack will take over: a file system of so many bytes."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        # The machine does not see what is mounted in the node.
        self.path = Path(f"/proc/{host.init().pid}/root{folder}")
        in_node("mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(folder))

    def fill(self) -> None:
        """Have somebody else take the rest."""
        with suppress(OSError), (self.path / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(65536)):
                pass

    def wait_for_download(self, share: float, up: "Future[Report]") -> None:
        """Wait until so much of the checkpoint is on the disk, or `up` has ended."""

        def fetched() -> int:
            parts = self.path.glob("models/**/model.safetensors.part")
            return sum(part.stat().st_blocks * 512 for part in parts)

        wait_until(lambda: up.done() or fetched() > MODEL_BYTES * share, "no download", 120)


def in_node(*command: str) -> None:
    subprocess.run(node.entering(command), check=True)


@pytest.fixture
def starting(deployment: Deployment, new_stack: Deploy) -> Deployment:
    """A stack that is not up yet."""
    return new_stack({**deployment.images(), "hub.endpoint": f"http://{NODE_ADDRESS}:{PORT}"})


@pytest.fixture
def volume(starting: Deployment, api: DynamicClient) -> Iterator[Volume]:
    namespaces = api.resources.get(api_version="v1", kind="Namespace")
    namespaces.create(body={"metadata": {"name": starting.namespace}})
    cluster = Namespace(api, starting.namespace)
    cluster.create(claim(CLAIM))
    cluster.wait("v1/PersistentVolumeClaim", CLAIM, bound)
    (folder,) = VOLUMES.glob(f"{starting.namespace}-*")
    yield Volume(folder, SMALL_BYTES)
    # The platform moves the folder away with its claim.
    in_node("umount", "--lazy", str(folder))


def test_a_full_volume_is_told_and_an_absent_hub_is_waited_for(
    starting: Deployment, volume: Volume, record_property: Record
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with slow_hub():
            first = pool.submit(starting.up)
            volume.wait_for_download(0.25, first)
            volume.fill()
            full = first.result(240)
            assert not full.succeeded
            assert "the volume is full" in full.messages, full.messages
            assert "Enlarge the volume" in full.messages
            assert not list(volume.path.glob("triton-model-store/*")), "no half release"

            in_node("mount", "-o", f"remount,size={2 * SMALL_BYTES}", str(volume.folder))
            starting.change({"storage.size": "2Gi"})
            second = pool.submit(starting.up)
            volume.wait_for_download(0.5, second)
        time.sleep(HUB_DOWN_SECONDS)
        with slow_hub():
            up = second.result(240)
    assert up.succeeded, up.messages
    record_property(
        "figures",
        f"told after {full.seconds:.0f} s; the next up took {up.seconds:.0f} s, of which "
        f"{HUB_DOWN_SECONDS} s without a hub",
    )
    assert starting.is_right()
