"""What a deployed stack tells of itself: `ft-serving diagnose`, and metrics for Prometheus."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient

from components.inference_service import NAME
from ft_serving.client import GenerationClient
from local_platform.settings import INGRESS_PORT, KUBECONFIG
from tests.deployment.program import Deployment
from tests.monitoring.files import KNATIVE, KUBELET, TRITON, documents, exposed, metrics
from tests.monitoring.relabelling import targets
from tests.platform.cluster import Document, Namespace
from tests.platform.ingress import wait_until_routed
from tests.serving import TINY_GPTJ

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

SERVICE = "serving.kserve.io/v1beta1/InferenceService"
PROMPT = "Mary has a little lamb."
INGRESS = f"http://127.0.0.1:{INGRESS_PORT}"
TOKENIZER = str(TINY_GPTJ / "tokenizer.json")


def diagnose(namespace: str, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ft-serving")), "diagnose"),
            *("--namespace", namespace, *options),
        ],
        env={**os.environ, "KUBECONFIG": str(KUBECONFIG)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_sound_deployment_is_told_on_one_screen(deployment: Deployment) -> None:
    code, screen = diagnose(deployment.namespace)
    outputs = deployment.outputs()
    assert code == 0, screen
    lines = screen.splitlines()
    assert lines[0] == f"{deployment.namespace}/{NAME}  READY"
    assert len(lines) <= 40
    assert outputs["host"] in screen
    assert outputs["release"] in screen
    model = deployment.settings["model"]
    assert f"{model['repository']}@{model['revision']}" in screen
    assert "fp32 weights, computed in fp32, tensor parallel 1" in screen
    assert screen.count(": succeeded") == 4, "all Jobs that the report names below"

    report = json.loads(diagnose(deployment.namespace, "--json")[1])
    assert [(job["role"], job["phase"]) for job in report["jobs"]] == [
        ("model download", "succeeded"),
        ("its gate", "succeeded"),
        ("smoke test", "succeeded"),
        ("release collection", "succeeded"),
    ]
    assert report["image"] == outputs["serverImage"]
    (revision,) = report["revisions"]
    assert (revision["wanted"], revision["ready"], revision["traffic"]) == (1, 1, 100)
    (claim,) = report["claims"]
    assert (claim["name"], claim["phase"]) == ("ft-serving-models", "Bound")


def jobs() -> Mapping[str, Any]:
    """Each job's relabelling."""
    (configuration,) = documents("prometheus.yaml")
    return {it["job_name"]: it["relabel_configs"] for it in configuration["scrape_configs"]}


def scrape(api: DynamicClient, namespace: str, target: Mapping[str, str]) -> str:
    """What a target answers, through the API server."""
    port = target["__address__"].rpartition(":")[2]
    return fetch(api, f"/api/v1/namespaces/{namespace}/pods/{target['pod']}:{port}/proxy/metrics")


def fetch(api: DynamicClient, path: str) -> str:
    """What the API server answers, as text."""
    answer = api.request("get", path, header_params={"Accept": "text/plain"}, serialize=False)
    return str(answer.data.decode())


def test_prometheus_finds_the_server_and_its_queue_with_all_that_is_used_of_them(
    deployment: Deployment, cluster: Namespace, api: DynamicClient
) -> None:
    deployment.ask(PROMPT, 4)
    pods = cluster.items("v1/Pod")
    found = ""
    for job in ("ft-serving-server", "ft-serving-queue"):
        (target,) = targets(pods, jobs()[job])
        assert target["namespace"] == deployment.namespace
        assert target["inference_service"] == NAME
        assert target["revision"].startswith(f"{NAME}-predictor-")
        found += scrape(api, deployment.namespace, target)
    told = exposed(found)
    assert {it for it in metrics() if it.startswith("kn_serving_")} - told == set()
    assert {it for it in metrics() if it.startswith(TRITON) and "_gpu_" not in it} - told == set()
    assert 'http_response_status_code="200"' in found, "errors are told by it"


def test_prometheus_finds_the_autoscaler_with_all_that_is_used_of_it(
    deployment: Deployment, api: DynamicClient
) -> None:
    knative = Namespace(api, "knative-serving")
    (target,) = targets(knative.items("v1/Pod"), jobs()["ft-serving-autoscaler"])
    ours = f'k8s_namespace_name="{deployment.namespace}"'
    text = scrape(api, knative.name, target)
    told = exposed("\n".join(line for line in text.splitlines() if ours in line))
    assert {it for it in metrics() if it.startswith(f"{KNATIVE}revision_")} - told == set()
    assert f'kn_service_name="{NAME}-predictor"' in text


@pytest.fixture(scope="module")
def other(api: DynamicClient, cluster: Namespace) -> Document:
    """The stack's service, to be made once more beside it and broken."""
    made = cluster.get(SERVICE, NAME)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"annotations": dict(made["metadata"]["annotations"])},
        "spec": made["spec"],
    }


BROKEN: Mapping[str, Document] = {
    "no-gpu": {"resources": {"limits": {"nvidia.com/gpu": "4"}}},
    "no-image": {"image": f"localhost:5000/ft-serving/server-cpu@sha256:{'0' * 64}"},
}


@pytest.fixture(scope="module")
def broken(cluster: Namespace, other: Document) -> Iterator[None]:
    """The services of `BROKEN`, which wait for their graces together."""
    for name, change in BROKEN.items():
        container = {**other["spec"]["predictor"]["containers"][0], **change}
        make(cluster, other, name, {"containers": [container]})
    yield
    for name in BROKEN:
        cluster.delete(SERVICE, name)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("name", "cause", "said"),
    [
        ("no-gpu", "unschedulable", "too little nvidia.com/gpu (asked for: kserve-container 4"),
        ("no-image", "image", "cannot be pulled"),
    ],
)
def test_a_broken_deployment_is_told_with_its_root_cause(
    cluster: Namespace, name: str, cause: str, said: str
) -> None:
    screen = awaited(cluster, name, 1, "FAILED")
    lines = screen.splitlines()
    assert lines[0] == f"{cluster.name}/{name}  FAILED ({cause})"
    assert said in " ".join(screen.split())
    assert len(lines) <= 40


def test_a_start_is_on_its_way_and_an_idle_service_is_sound(
    cluster: Namespace, other: Document
) -> None:
    initial = {"autoscaling.knative.dev/initial-scale": "1"}
    annotations = {**other["spec"]["predictor"]["annotations"], **initial}
    make(cluster, other, "idle", {"minReplicas": 0, "annotations": annotations})
    awaited(cluster, "idle", 3, "ON ITS WAY")
    awaited(cluster, "idle", 0, "READY")
    screen = awaited(cluster, "idle", 0, "READY, scaled to zero")
    assert " idle\n" in screen
    cluster.delete(SERVICE, "idle")


def test_the_nodes_tell_how_full_the_volume_is(cluster: Namespace, api: DynamicClient) -> None:
    (node,) = api.resources.get(api_version="v1", kind="Node").get().items
    path = f"/api/v1/nodes/{node.metadata.name}/proxy/metrics"
    ours = (f'namespace="{cluster.name}"', 'persistentvolumeclaim="ft-serving-models"')
    used = {it for it in metrics() if it.startswith(KUBELET)}
    assert len(used) == 2
    # Kubelets look at their volumes once a minute.
    deadline = time.monotonic() + 90
    while True:
        lines = [line for line in fetch(api, path).splitlines() if all(it in line for it in ours)]
        missing = used - exposed("\n".join(lines))
        if not missing:
            return
        assert time.monotonic() < deadline, missing
        time.sleep(2)


def test_load_above_the_bounds_is_what_the_alert_of_it_asks_for(
    cluster: Namespace, other: Document, api: DynamicClient
) -> None:
    one = {"maxReplicas": 1, "containerConcurrency": 1, "scaleTarget": 1}
    make(cluster, other, "busy", one)
    awaited(cluster, "busy", 0, "READY")
    host = f"busy-predictor.{cluster.name}.localhost"
    wait_until_routed(host)
    stop = threading.Event()

    def load() -> None:
        with GenerationClient(INGRESS, host_header=host, tokenizer=TOKENIZER) as client:
            while not stop.is_set():
                client.generate([PROMPT], output_length=100)

    knative = Namespace(api, "knative-serving")
    (target,) = targets(knative.items("v1/Pod"), jobs()["ft-serving-autoscaler"])
    ours = (f'k8s_namespace_name="{cluster.name}"', 'kn_service_name="busy-predictor"')
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(load) for _ in range(4)]
        try:
            deadline = time.monotonic() + 60
            while True:
                lines = scrape(api, knative.name, target).splitlines()
                pods = {
                    line.partition("{")[0]: float(line.rpartition(" ")[2])
                    for line in lines
                    if line.startswith("kn_revision_pods_") and all(it in line for it in ours)
                }
                if pods["kn_revision_pods_desired"] > pods["kn_revision_pods_requested"]:
                    break
                assert time.monotonic() < deadline, pods
                time.sleep(1)
        finally:
            stop.set()
        for client in clients:
            client.result(60)
    assert pods["kn_revision_pods_requested"] == 1
    cluster.delete(SERVICE, "busy")


def make(cluster: Namespace, other: Document, name: str, change: Document) -> None:
    """Make the stack's service once more, by another name and with a predictor changed."""
    predictor = {**other["spec"]["predictor"], **change}
    metadata = {**other["metadata"], "name": name}
    cluster.create({**other, "metadata": metadata, "spec": {"predictor": predictor}})


def awaited(cluster: Namespace, name: str, code: int, begin: str) -> str:
    """The screen whose first line begins so, which comes sooner or later."""
    deadline = time.monotonic() + 120
    while True:
        found, screen = diagnose(cluster.name, "--inference-service", name)
        if screen.startswith(f"{cluster.name}/{name}  {begin}"):
            assert found == code, screen
            return screen
        assert time.monotonic() < deadline, screen
        time.sleep(1)
