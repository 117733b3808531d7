"""The platform is mended, goes away without a trace, and comes back with what it had."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from kubernetes.dynamic import DynamicClient

from local_platform.node import health, parts, services
from local_platform.node import namespace as node
from local_platform.node.certificates import SCHEDULER
from local_platform.node.configuration import path_of
from local_platform.settings import CLUSTER_DNS, DATA, INGRESS_DOMAIN, KUBECONFIG, NAMESPACE
from local_platform.toolchain import find
from tests.platform import host, kubectl
from tests.platform.cluster import Namespace, ready
from tests.platform.ingress import ask, wait_until_routed
from tests.platform.manifests import claim, knative_service, pod, python, web_server
from tests.platform.waiting import wait_until

pytestmark = [pytest.mark.platform, pytest.mark.exclusive]

UP_SECONDS = 90
NOTHING_TO_DO_SECONDS = 20
MENDED_SECONDS = 60

AT_ONCE = [
    "uplink",
    "registry",
    "dockerd",
    "hub",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "volumes",
]
"""Parts of which none needs another."""

KILLED = [
    *([one.name] for one in parts.services(Path) if one.name not in AT_ONCE),
    AT_ONCE,
]

KEEP = "import pathlib, time; pathlib.Path('/data/kept').write_text('kept'); time.sleep(1e6)"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "local_platform", *arguments]


def run(*arguments: str) -> str:
    """Run a command of the platform, which has to succeed; return what it says."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_up_in_time() -> None:
    began = time.monotonic()
    run("up")
    assert time.monotonic() - began < UP_SECONDS


def all_parts_work() -> bool:
    return not health.failures(parts.services(find().tool))


@pytest.fixture(scope="module")
def survivors(namespace: Namespace, base_image: str) -> Namespace:
    """A pod with a volume, and a Knative service that is not asked.

    They are made before anything is killed, because Knative's controllers need up to two minutes to
    follow a new service once the API server was away.
    """
    namespace.create(claim("kept"))
    keeper = pod("keeper", python(base_image, KEEP), claim="kept")
    keeper["spec"]["restartPolicy"] = "Always"
    namespace.create(keeper)
    namespace.create(knative_service("sleeper", web_server(base_image, "still here")))
    namespace.wait("v1/Pod", "keeper", ready)
    namespace.wait("serving.knative.dev/v1/Service", "sleeper", ready, seconds=90)
    return namespace


@pytest.mark.usefixtures("survivors")
@pytest.mark.parametrize("names", KILLED, ids=" ".join)
def test_parts_that_are_killed_are_started_again(names: list[str]) -> None:
    assert set(names) <= set(services.names())
    described = [one for one in parts.services(find().tool) if one.name in names]
    killed = {one.name: host.process_of(one.name) for one in described}

    for process in killed.values():
        process.kill()

    def missing() -> list[str]:
        return [
            one.name
            for one in described
            if not host.started_again(one.name, killed[one.name]) or health.failing(one)
        ]

    wait_until(lambda: not missing(), f"{names} are not all back", MENDED_SECONDS)


def test_a_supervisor_that_is_killed_is_started_again_with_its_part() -> None:
    supervisor, killed = host.supervisor_of("registry"), host.process_of("registry")

    supervisor.kill()

    # The part ends with its supervisor: the next one could not start it while it has the port.
    wait_until(
        lambda: host.started_again("registry", killed) and all_parts_work(),
        "the registry is not back",
        MENDED_SECONDS,
    )


def test_after_all_this_the_platform_says_that_it_works() -> None:
    def works() -> bool:
        return subprocess.run(command("status"), capture_output=True, check=False).returncode == 0

    wait_until(works, "status does not say that all parts work", MENDED_SECONDS)


def test_what_was_deleted_comes_back_with_up() -> None:
    for namespace, kind, name in (
        (NAMESPACE, "service", "coredns"),
        ("knative-serving", "deployment", "webhook"),
        ("kserve", "configmap", "inferenceservice-config"),
    ):
        kubectl.Namespace(namespace).kubectl("delete", kind, name)
    assert subprocess.run(command("status"), capture_output=True, check=False).returncode == 1

    run("up")

    run("status")
    dns = kubectl.Namespace(NAMESPACE).get("service", "coredns")
    assert dns["spec"]["clusterIP"] == CLUSTER_DNS


def test_up_again_changes_nothing_and_is_quick(api: DynamicClient) -> None:
    ours = "app in (coredns,traefik,activator,autoscaler,controller,webhook)"
    pods = api.resources.get(api_version="v1", kind="Pod")

    def running() -> set[str]:
        found = pods.get(label_selector=ours).items
        return {one.metadata.uid for one in found if not one.metadata.deletionTimestamp}

    # The pods of a Deployment that was deleted go a moment after it.
    wait_until(lambda: len(running()) == 6, "there is not one pod a part", MENDED_SECONDS)
    before = {part: host.process_of(part) for part in services.names()}, running()
    began = time.monotonic()

    run("up")

    assert time.monotonic() - began < NOTHING_TO_DO_SECONDS
    assert ({part: host.process_of(part) for part in services.names()}, running()) == before


def assert_survived(namespace: Namespace, base_image: str, since: str) -> None:
    found = namespace.wait("v1/Pod", "keeper", ready, seconds=90)
    assert found["metadata"]["uid"] == since, "the same pod, started again"
    read = "import pathlib; print(pathlib.Path('/data/kept').read_text())"
    reader = pod(f"reader-{time.monotonic_ns()}", python(base_image, read), claim="kept")
    assert namespace.run(reader) == "kept\n"
    sleeper = f"sleeper.{namespace.name}.{INGRESS_DOMAIN}"
    wait_until_routed(sleeper, 60)
    assert ask(sleeper, 60) == (200, b"still here")


def kill_node_by(process: psutil.Process | None) -> None:
    """Kill a process, with which the whole node ends."""
    assert process is not None
    processes = host.node_processes()
    assert process in processes
    process.kill()
    wait_until(lambda: not host.alive(processes), "the node's processes are still there")


@pytest.mark.timeout(400)
def test_what_killed_nodes_and_half_finished_runs_left_is_mended_by_one_of_two_ups(
    survivors: Namespace, base_image: str
) -> None:
    uid = survivors.get("v1/Pod", "keeper")["metadata"]["uid"]
    kill_node_by(host.init().parent())
    with subprocess.Popen(command("up"), stdout=subprocess.DEVNULL) as half:
        wait_until(lambda: node.find() is not None, "`up` has not made a node", 60)
        half.kill()
    kill_node_by(host.init())
    KUBECONFIG.unlink()
    path_of(SCHEDULER).write_text("apiVersion: v1\nki")
    SCHEDULER.certificate.write_bytes(b"")

    first = subprocess.Popen(command("up"), stdout=subprocess.PIPE, text=True)
    # The first line comes when the lock is held.
    assert first.stdout is not None
    first_line = first.stdout.readline()
    second = subprocess.run(command("up"), capture_output=True, text=True, check=False)
    rest, _ = first.communicate()

    assert first.returncode == 0, first_line + rest
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Another `up` or `down` is at work" not in first_line + rest
    assert "Another `up` or `down` is at work on this machine; waiting" in second.stdout
    assert_survived(survivors, base_image, uid)


@pytest.mark.timeout(400)
def test_down_leaves_nothing_but_data_which_up_brings_back_within_its_time(
    survivors: Namespace, base_image: str
) -> None:
    uid = survivors.get("v1/Pod", "keeper")["metadata"]["uid"]
    processes, machine = host.node_processes(), host.look()
    assert len(processes) > 2 * len(services.names()), "a part, its log's writer, pods"
    own = [line for line in machine.mounts if "ft-serving" in line]
    assert not own, "the machine itself sees no mount of the platform, even while it is up"

    run("down")

    assert host.alive(processes) == set()
    assert host.leftovers() == []
    assert host.look() == machine, "nothing of the machine's own was ever changed"
    assert KUBECONFIG.exists()
    assert (DATA / "volumes").is_dir()
    status = subprocess.run(command("status"), capture_output=True, text=True, check=False)
    assert status.returncode == 1
    assert "The platform is not running. Start it with `make platform`." in status.stderr

    run_up_in_time()
    assert_survived(survivors, base_image, uid)
