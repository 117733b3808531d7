"""`make demo`, then parts of the cluster go away for a while; at last it is deleted as it says."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
from kubernetes.dynamic import DynamicClient

from local_platform.settings import NODE, REGISTRY
from tests.deployment.load import Record, under_load
from tests.deployment.program import Demo
from tests.platform import host
from tests.platform.cluster import Document, Namespace
from tests.platform.waiting import wait_until
from tests.platform_guard import skip_but_in_ci
from tests.pulumi_cli import Report
from tests.serving import GOLDEN
from tests.stacks.documents import ROOT

pytestmark = [
    pytest.mark.platform,
    pytest.mark.slow,
    pytest.mark.exclusive,
    pytest.mark.timeout(600),
]

API_SERVER_DOWN_SECONDS = 30

Done = subprocess.CompletedProcess[str]

CONTROLLERS = (
    ("knative-serving", "controller"),
    ("knative-serving", "autoscaler"),
    ("knative-serving", "webhook"),
    ("knative-serving", "activator"),
    ("kserve", "kserve-controller-manager"),
)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The stack of `make demo`, which the first test deploys: no others share the cores with it."""
    demo = Demo(tmp_path_factory.mktemp("demo"))
    if demo.is_up():
        skip_but_in_ci("The stack dev is up, and these tests would delete it. Destroy it first.")
    yield demo
    if demo.is_up():
        demo.destroy()


@pytest.fixture(scope="module")
def cluster(api: DynamicClient, deployment: Demo) -> Namespace:
    return Namespace(api, deployment.namespace)


@pytest.fixture(scope="module")
def next_commands(deployment: Demo) -> list[str]:
    """The commands that the last lines of `make demo` say to type next."""
    done = in_shell("make demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Output: {GOLDEN['prompt']}{GOLDEN['text']}" in " ".join(done.stdout.split())
    lines = done.stdout.rpartition("\nNext:\n")[2].splitlines()
    return [line.partition("#")[0].strip() for line in lines]


def in_shell(command: str, variables: Mapping[str, str] | None = None) -> Done:
    """Run a command in the checkout as a user of this test's Python does."""
    inherited = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env={**inherited, **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_demo_ends_with_the_answer_and_commands_that_work(next_commands: list[str]) -> None:
    enter, diagnose, outputs, _ = next_commands
    for command, part in ((diagnose, "READY"), (outputs, "http://127.0.0.1:8080")):
        done = in_shell(f"{enter}; {command}")
        assert (done.returncode, part in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_restart_of_kubelet_is_not_noticed(
    api: DynamicClient, deployment: Demo, record_property: Record
) -> None:
    leases = Namespace(api, "kube-node-lease")
    with under_load(deployment, record_property):
        host.process_of("kubelet").kill()
        last = heartbeat(leases)
        wait_until(lambda: heartbeat(leases) != last, "kubelet is not back", 60)


def heartbeat(leases: Namespace) -> str:
    """Return when the node's kubelet last said that it is there."""
    return str(leases.get("coordination.k8s.io/v1/Lease", NODE)["spec"]["renewTime"])


def test_restarts_of_knative_and_kserve_lose_nothing(
    api: DynamicClient, deployment: Demo, record_property: Record
) -> None:
    with under_load(deployment, record_property) as load:
        for name, app in CONTROLLERS:
            namespace = Namespace(api, name)
            (pod,) = [it for it in namespace.items("v1/Pod") if app in it["metadata"]["name"]]
            namespace.begin_deletion("v1/Pod", pod["metadata"]["name"])
        load.wait_for_recovery()
        for name, app in CONTROLLERS:
            Namespace(api, name).wait("apps/v1/Deployment", app, is_available)


def is_available(deployment: Document) -> bool:
    status = deployment["status"]
    return bool(status.get("availableReplicas") == status.get("replicas") == 1)


def test_without_the_registry_pods_start_from_their_node_and_up_says_what_it_lacks(
    deployment: Demo, cluster: Namespace, record_property: Record
) -> None:
    built = dict(deployment.settings["image"]["client"]["args"])
    # The preflight would find the registry's absence before the program does.
    deployment.change({"cluster.preflight": "warn"})
    with under_load(deployment, record_property) as load:
        with host.without("registry"):
            for pod in cluster.items("v1/Pod", "app.kubernetes.io/component=server"):
                cluster.begin_deletion("v1/Pod", pod["metadata"]["name"])
            load.wait_for_recovery()
            # Another argument is another image.
            deployment.change({"image.client.args": {**built, "PIP_NO_CACHE_DIR": "1"}})
            refused = deployment.up()
        load.wait_for_recovery()
        deployment.change({"image.client.args": built})
        deployment.deploy()
    assert not refused.succeeded
    assert REGISTRY in refused.messages
    assert "refused" in refused.messages, refused.messages


def test_an_up_outlives_thirty_seconds_without_the_api_server(
    deployment: Demo, cluster: Namespace, record_property: Record
) -> None:
    known = jobs(cluster)
    # Another question changes nothing but the smoke test. A rollout would go on when Knative's
    # controllers are back, which takes them minutes (docs/reliability.md).
    question = {
        "prompt": GOLDEN["prompt"],
        "outputLength": 8,
        "expectedTokenIds": GOLDEN["output_ids"][:8],
    }
    deployment.change({"golden": question})
    reports: list[Report] = []
    up = threading.Thread(target=lambda: reports.append(deployment.up()), daemon=True)
    with under_load(deployment, record_property) as load:
        up.start()
        wait_until(lambda: jobs(cluster) - known, "no smoke test", 60)
        with host.without("kube-apiserver"):
            load.wait_for_recovery()
            time.sleep(API_SERVER_DOWN_SECONDS)
            load.wait_for_recovery()
            assert up.is_alive(), "otherwise the API server was away for nobody"
        up.join(200)
    (report,) = reports
    assert report.succeeded, report.messages


def jobs(cluster: Namespace) -> set[str]:
    return {job["metadata"]["uid"] for job in cluster.items("batch/v1/Job")}


def test_the_demos_last_command_deletes_it_and_leaves_the_checkout_as_it_was(
    deployment: Demo, next_commands: list[str]
) -> None:
    files = {file: file.read_bytes() for file in ROOT.glob("Pulumi.*.yaml")}
    enter, *_, destroy = next_commands
    done = in_shell(f"{enter}; {destroy}", {"PULUMI_SKIP_CONFIRMATIONS": "true"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not deployment.is_up()
    assert {file: file.read_bytes() for file in ROOT.glob("Pulumi.*.yaml")} == files
