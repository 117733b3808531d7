"""What the cluster does for a served model, on the running platform."""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from local_platform import addons, settings
from local_platform.addons.cluster import ClusterObjects
from local_platform.addons.manifests import Manifest, ObjectName
from local_platform.toolchain import find
from tests.platform.ingress import ask, wait_until_routed

pytestmark = [pytest.mark.platform, pytest.mark.slow]

NAMESPACE = "addons-test"
HOST = f"hello-predictor.{NAMESPACE}.{settings.INGRESS_DOMAIN}"

# It answers `?URL` with what URL answers to a pod: its status, or why there was none.
SERVER = """
import http.server, os, signal, urllib.request
# The first process of a container is sent no signal that it does not ask for.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.path.partition("?")[2]
        try:
            answer = str(urllib.request.urlopen(asked, timeout=10).status) if asked else "hello"
        except Exception as exc:
            answer = repr(exc)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


SERVICE = ObjectName("InferenceService", NAMESPACE, "hello")


def _delete(kind: str, namespace: str, name: str, *options: str) -> None:
    kubectl = [str(find().tool("kubectl")), f"--kubeconfig={settings.KUBECONFIG}"]
    subprocess.run(
        [*kubectl, f"--namespace={namespace}", "delete", kind, name, *options], check=True
    )


def _wait(what: str, seconds: float, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what} took longer than {seconds} s"
        time.sleep(0.5)


def _service(cluster: ClusterObjects) -> Manifest:
    found = cluster.get("serving.kserve.io/v1beta1", SERVICE)
    assert found is not None
    return found


def _is_ready(service: Manifest) -> bool:
    conditions = service.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.fixture(scope="module")
def cluster() -> ClusterObjects:
    return ClusterObjects(settings.KUBECONFIG)


@pytest.fixture(scope="module")
def served(cluster: ClusterObjects) -> Iterator[None]:
    """An InferenceService of one small program that may go to zero."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    container = {
        "name": "kserve-container",
        "image": addons.base_image(print),
        "command": ["python3", "-c", SERVER],
        "ports": [{"containerPort": 8080}],
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": True},
    }
    try:
        cluster.apply(
            {
                "apiVersion": "serving.kserve.io/v1beta1",
                "kind": "InferenceService",
                "metadata": {"name": "hello", "namespace": NAMESPACE},
                "spec": {"predictor": {"minReplicas": 0, "containers": [container]}},
            }
        )
        _wait("READY", 90, lambda: _is_ready(_service(cluster)))
        wait_until_routed(HOST)
        yield
    finally:
        # First what would make new pods: a namespace's end waits for half of their grace.
        _delete("inferenceservice", NAMESPACE, "hello", "--cascade=foreground")
        _delete("namespace", NAMESPACE, NAMESPACE)


def test_a_served_model_answers_through_the_ingress(cluster: ClusterObjects, served: None) -> None:
    assert _service(cluster)["status"]["url"] == f"http://{HOST}"
    assert ask(HOST) == (200, b"hello")


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        pytest.param(
            f"http://hello-predictor.{NAMESPACE}.svc.cluster.local/", b"200", id="its name inside"
        ),
        pytest.param(f"http://{HOST}/", b"200", id="its name outside"),
        pytest.param(f"{settings.HUB_URL}/api/models/tiny-gptj", b"200", id="the hub"),
    ],
)
def test_a_pod_reaches(served: None, url: str, answer: bytes) -> None:
    assert ask(HOST, path=f"/?{url}") == (200, answer)


def test_an_idle_model_goes_to_zero_and_wakes_for_a_request(
    cluster: ClusterObjects, served: None
) -> None:
    _wait("going to zero", 90, lambda: not cluster.list("v1", "Pod", NAMESPACE))
    begun = time.monotonic()
    assert ask(HOST) == (200, b"hello")
    assert time.monotonic() - begun < 20


@pytest.mark.exclusive
def test_what_was_deleted_comes_back(cluster: ClusterObjects) -> None:
    _delete("service", settings.NAMESPACE, "coredns")
    _delete("deployment", "knative-serving", "webhook")
    _delete("configmap", "kserve", "inferenceservice-config")
    assert not all(part.ready for part in addons.status(settings.KUBECONFIG))
    addons.install(find(), settings.KUBECONFIG, print)
    assert all(part.ready for part in addons.status(settings.KUBECONFIG))
    service = cluster.get("v1", ObjectName("Service", settings.NAMESPACE, "coredns"))
    assert service is not None
    assert service["spec"]["clusterIP"] == settings.CLUSTER_DNS


@pytest.mark.exclusive
def test_an_install_without_changes_replaces_no_pod(cluster: ClusterObjects) -> None:
    def running() -> set[str]:
        ours = "app in (coredns,traefik,activator,autoscaler,controller,webhook)"
        pods = [pod["metadata"] for pod in cluster.list("v1", "Pod", None, ours)]
        return {pod["uid"] for pod in pods if "deletionTimestamp" not in pod}

    # The pods of a Deployment that was deleted go a moment after it.
    _wait("one pod a part", 60, lambda: len(running()) == 6)
    before = running()
    addons.install(find(), settings.KUBECONFIG, print)
    assert running() == before
    assert len(before) == 6
