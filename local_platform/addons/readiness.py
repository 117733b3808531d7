"""Tells which parts of the platform in the cluster are ready, and why the others are not."""

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from local_platform import settings
from local_platform.addons import knative, kserve
from local_platform.addons.cluster import Cluster
from local_platform.addons.manifests import Manifest
from local_platform.errors import ApplyError, PlatformError

DEPLOYMENTS: Final = (
    (settings.NAMESPACE, "coredns"),
    (settings.NAMESPACE, "traefik"),
    *((knative.NAMESPACE, name) for name in knative.PROGRAMS if name != "queue"),
    (kserve.NAMESPACE, "kserve-controller-manager"),
)

_PAUSE_S: Final = 1.0
_INGRESS_TIMEOUT_S: Final = 5.0
_LOG_LINES: Final = 5
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
    """The state of one part of the platform in the cluster.

    Attributes:
        name: Its name for people.
        ready: Whether it works.
        message: The reason if it does not; several lines where a pod's log says more.
    """

    name: str
    ready: bool
    message: str = ""


def status(cluster: Cluster) -> list[PartStatus]:
    """Return every part's state, in the order in which they depend on each other.

    A Deployment is what the cluster believes, and after a restart of the node that is out of date
    until the kubelet has looked; so the webhooks and the ingress are asked, too.
    """
    return [
        *_deployments(cluster),
        *(_webhook(cluster, name, question) for name, question in _QUESTIONS.items()),
        _ingress(),
    ]


def wait_ready(cluster: Cluster, report: Callable[[str], None], deadline: float) -> None:
    """Wait until every part is ready.

    Args:
        cluster: The cluster.
        report: Told which parts became ready.
        deadline: The end of the wait, on the clock of `time.monotonic`.

    Raises:
        PlatformError: Parts did not become ready; the message says why.
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


def _deployments(cluster: Cluster) -> list[PartStatus]:
    try:
        found = {
            (one["metadata"]["namespace"], one["metadata"]["name"]): one
            for one in cluster.items("deployments", "--all-namespaces")
        }
        reasons = [_missing(cluster, found.get(wanted)) for wanted in DEPLOYMENTS]
    except ApplyError as exc:
        reasons = [str(exc)] * len(DEPLOYMENTS)
    return [
        PartStatus(name=name, ready=not reason, message=reason)
        for (_, name), reason in zip(DEPLOYMENTS, reasons, strict=True)
    ]


def _missing(cluster: Cluster, deployment: Manifest | None) -> str:
    """Return why a Deployment is not ready, or "" if all its pods are new and ready."""
    if deployment is None:
        return "it is not in the cluster"
    now, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    counts = {now.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")}
    if now.get("observedGeneration") == deployment["metadata"]["generation"] and counts == {wanted}:
        return ""
    return explain(cluster, deployment)


def _webhook(cluster: Cluster, name: str, question: Manifest) -> PartStatus:
    try:
        cluster.apply([question], dry_run=True)
    except ApplyError as exc:
        return PartStatus(name=name, ready=False, message=str(exc))
    return PartStatus(name=name, ready=True)


def _ingress() -> PartStatus:
    """Ask the ingress on this machine's loopback; any answer will do."""
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


def explain(cluster: Cluster, deployment: Manifest) -> str:
    """Return why a Deployment is not available, with the end of a container's log if there is one.

    Raises:
        ApplyError: The API server cannot be asked.
    """
    labels = deployment["spec"]["selector"]["matchLabels"]
    pods = cluster.items(
        "pods",
        f"--namespace={deployment['metadata']['namespace']}",
        f"--selector={','.join(f'{name}={value}' for name, value in sorted(labels.items()))}",
    )
    unready = [pod for pod in pods if _condition(pod, "Ready").get("status") != "True"]
    if not unready:
        refused = _condition(deployment, "ReplicaFailure")
        return str(refused.get("message") or "its pods are being replaced")
    # The newest, because the others are on their way out.
    pod = max(unready, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    name = f"pod {pod['metadata']['name']}"
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{name} has no node: {scheduled.get('message', '')}"
    for container in pod["status"].get("containerStatuses", ()):
        if not container["ready"]:
            return f"{name}: {_container(container)}{_log(cluster, pod, container)}"
    return f"{name}: the node has not started it yet"


def _container(container: dict[str, Any]) -> str:
    state = container["state"]
    if "waiting" in state:
        waiting = state["waiting"]
        said = f"{waiting['reason']} {waiting.get('message', '')}".strip()
    elif "terminated" in state:
        said = _ended(state["terminated"])
    else:
        said = "it runs and does not call itself ready yet"
    last = container.get("lastState", {}).get("terminated")
    return f"{said}; before that it {_ended(last)}" if last else said


def _ended(terminated: dict[str, Any]) -> str:
    return f"ended with status {terminated['exitCode']} ({terminated.get('reason', 'no reason')})"


def _log(cluster: Cluster, pod: Manifest, container: dict[str, Any]) -> str:
    """Return the last lines of a container, or of the one that ended before it if it waits."""
    waits = "waiting" in container["state"]
    if waits and "terminated" not in container.get("lastState", {}):
        return ""
    metadata = pod["metadata"]
    try:
        text = cluster.ask(
            "logs", f"--namespace={metadata['namespace']}", metadata["name"], container["name"],
            f"--tail={_LOG_LINES}", f"--previous={str(waits).lower()}",
        )  # fmt: skip
    except ApplyError as exc:
        text = f"no log: {exc}"
    return "".join(f"\n    {line}" for line in text.splitlines())


def _condition(manifest: Manifest, kind: str) -> dict[str, Any]:
    conditions = manifest.get("status", {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})
