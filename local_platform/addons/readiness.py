"""Which parts of the platform in the cluster are ready, and why the others are not."""

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from local_platform import settings
from local_platform.addons import knative, kserve
from local_platform.addons.cluster import ClusterObjects
from local_platform.addons.manifests import Manifest
from local_platform.addons.pods import explain
from local_platform.errors import ApplyError, PlatformError

DEPLOYMENTS: Final = (
    (settings.NAMESPACE, "coredns"),
    (settings.NAMESPACE, "traefik"),
    *((knative.NAMESPACE, name) for name in knative.PROGRAMS if name != "queue"),
    (kserve.NAMESPACE, "kserve-controller-manager"),
)

_PAUSE_S: Final = 1.0
_INGRESS_TIMEOUT_S: Final = 5.0
_CONTAINER: Final = {
    "name": "kserve-container",
    "image": f"{settings.REGISTRY}/none@sha256:{'0' * 64}",
}
_QUESTIONS: Final[dict[str, Manifest]] = {
    "Knative's webhook": {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "question", "namespace": settings.NAMESPACE},
        "spec": {"template": {"spec": {"containers": [_CONTAINER]}}},
    },
    "KServe's webhook": {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "question", "namespace": settings.NAMESPACE},
        "spec": {"predictor": {"containers": [_CONTAINER]}},
    },
}


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """One part of the platform in the cluster.

    Attributes:
        name: What it is called to people.
        ready: Whether it does its work.
        message: Why not; several lines where a pod's log says more.
    """

    name: str
    ready: bool
    message: str = ""


def status(cluster: ClusterObjects) -> list[PartStatus]:
    """Every part as it is now, in the order in which they depend on each other.

    A Deployment is what the cluster believes, and after a restart of the node that is out of date
    until the kubelet has looked; so the webhooks and the ingress are asked, too.
    """
    asked = [_webhook(cluster, name, question) for name, question in _QUESTIONS.items()]
    asked.append(_ingress())
    return [*_deployments(cluster), *asked]


def wait_ready(cluster: ClusterObjects, report: Callable[[str], None], deadline: float) -> None:
    """Wait until every part is ready.

    Args:
        cluster: Where.
        report: Told what became ready, and at first what is waited for.
        deadline: Until when, on the clock of `time.monotonic`.

    Raises:
        PlatformError: What did not become ready, and why.
    """
    known: set[str] = set()
    while True:
        parts = status(cluster)
        ready = {part.name for part in parts if part.ready}
        if gained := [part.name for part in parts if part.name in ready - known]:
            report(f"ready: {', '.join(gained)}")
        known = ready
        missing = [part for part in parts if not part.ready]
        if not missing:
            return
        if time.monotonic() > deadline:
            reasons = "\n".join(f"{part.name}: {part.message}" for part in missing)
            raise PlatformError(f"these parts did not become ready in time:\n{reasons}")
        time.sleep(_PAUSE_S)


def _deployments(cluster: ClusterObjects) -> list[PartStatus]:
    try:
        found = {
            (one["metadata"]["namespace"], one["metadata"]["name"]): one
            for one in cluster.list("apps/v1", "Deployment")
        }
        return [
            _deployment(cluster, name, found.get((namespace, name)))
            for namespace, name in DEPLOYMENTS
        ]
    except ApplyError as exc:
        return [PartStatus(name=name, ready=False, message=str(exc)) for _, name in DEPLOYMENTS]


def _deployment(cluster: ClusterObjects, name: str, deployment: Manifest | None) -> PartStatus:
    if deployment is None:
        return PartStatus(name=name, ready=False, message="it is not in the cluster")
    if _available(deployment):
        return PartStatus(name=name, ready=True)
    return PartStatus(name=name, ready=False, message=explain(cluster, deployment))


def _available(deployment: Manifest) -> bool:
    """Whether all pods are of the newest template and ready."""
    now = deployment.get("status", {})
    wanted = deployment["spec"]["replicas"]
    return bool(
        now.get("observedGeneration") == deployment["metadata"]["generation"]
        and now.get("updatedReplicas", 0) == wanted
        and now.get("availableReplicas", 0) == wanted
        and now.get("replicas", 0) == wanted
    )


def _webhook(cluster: ClusterObjects, name: str, question: Manifest) -> PartStatus:
    try:
        cluster.apply(question, dry_run=True)
    except ApplyError as exc:
        return PartStatus(name=name, ready=False, message=str(exc))
    return PartStatus(name=name, ready=True)


def _ingress() -> PartStatus:
    """Whether the ingress answers on this machine's loopback; with what does not matter."""
    name = f"ingress on 127.0.0.1:{settings.INGRESS_PORT}"
    connection = http.client.HTTPConnection(
        "127.0.0.1", settings.INGRESS_PORT, timeout=_INGRESS_TIMEOUT_S
    )
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException) as exc:
        return PartStatus(name=name, ready=False, message=f"it does not answer: {exc}")
    finally:
        connection.close()
    return PartStatus(name=name, ready=True)
