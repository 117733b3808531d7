"""Tells which parts of the platform in the cluster are ready, and why the others are not."""

import http.client
import time
from typing import Final

from local_platform import settings
from local_platform.addons import knative, kserve
from local_platform.addons.cluster import Cluster
from local_platform.addons.manifests import Manifest
from local_platform.errors import ApplyError, PlatformError
from local_platform.settings import Report

DEPLOYMENTS: Final = (
    (settings.NAMESPACE, "coredns"),
    (settings.NAMESPACE, "traefik"),
    *((knative.NAMESPACE, name) for name in knative.PROGRAMS if name != "queue"),
    (kserve.NAMESPACE, "kserve-controller-manager"),
)

_PAUSE_S: Final = 1.0
_INGRESS_TIMEOUT_S: Final = 5.0
_LINES: Final = 5
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


def status(cluster: Cluster, *, explained: bool = True) -> dict[str, str]:
    """Return the reason why each part is not ready, or "" if it is.

    The parts are in the order in which they depend on each other. A reason has several lines where
    a pod's log says more. A Deployment is what the cluster believes, and after a restart of the
    node that is out of date until the kubelet has looked; so the webhooks and the ingress are
    asked, too.

    Args:
        cluster: The cluster.
        explained: Whether reasons quote the pods of what is not ready.
    """
    return {
        **_deployments(cluster, explained),
        **{name: _refusal(cluster, question) for name, question in _QUESTIONS.items()},
        f"ingress on 127.0.0.1:{settings.INGRESS_PORT}": _ingress(),
    }


def wait_ready(cluster: Cluster, report: Report, deadline: float) -> None:
    """Wait until every part is ready, or the deadline on the clock of `time.monotonic`.

    Raises:
        PlatformError: Parts did not become ready; the message says why.
    """
    known: set[str] = set()
    while True:
        parts = status(cluster, explained=False)
        ready = [name for name, reason in parts.items() if not reason]
        if gained := [name for name in ready if name not in known]:
            report(f"ready: {', '.join(gained)}")
        known = set(ready)
        if len(ready) == len(parts):
            return
        if time.monotonic() > deadline:
            reasons = "\n".join(
                f"{name}: {reason}" for name, reason in status(cluster).items() if reason
            )
            raise PlatformError(f"these parts did not become ready in time:\n{reasons}")
        time.sleep(_PAUSE_S)


def _deployments(cluster: Cluster, explained: bool) -> dict[str, str]:
    try:
        found = {
            (one["metadata"]["namespace"], one["metadata"]["name"]): one
            for one in cluster.items("deployments", "--all-namespaces")
        }
        return {
            wanted[1]: _missing(cluster, found.get(wanted), explained) for wanted in DEPLOYMENTS
        }
    except ApplyError as exc:
        return {name: str(exc) for _, name in DEPLOYMENTS}


def _missing(cluster: Cluster, deployment: Manifest | None, explained: bool) -> str:
    """Return why a Deployment is not ready, or "" if all its pods are new and ready."""
    if deployment is None:
        return "it is not in the cluster"
    now, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    counts = {now.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")}
    if now.get("observedGeneration") == deployment["metadata"]["generation"] and counts == {wanted}:
        return ""
    said = explain(cluster, deployment) if explained else ""
    return f"its pods are not all new and ready{said}"


def _refusal(cluster: Cluster, question: Manifest) -> str:
    try:
        cluster.apply([question], dry_run=True)
    except ApplyError as exc:
        return str(exc)
    return ""


def _ingress() -> str:
    """Ask the ingress on this machine's loopback; any answer will do."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", settings.INGRESS_PORT, timeout=_INGRESS_TIMEOUT_S
    )
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException) as exc:
        return f"it does not answer: {exc}"
    finally:
        connection.close()
    return ""


def explain(cluster: Cluster, deployment: Manifest) -> str:
    """Return kubectl's words about a Deployment's pods: their states, warnings and last log lines.

    Raises:
        ApplyError: The API server cannot be asked.
    """
    metadata, labels = deployment["metadata"], deployment["spec"]["selector"]["matchLabels"]
    place = f"--namespace={metadata['namespace']}"
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    lines = cluster.ask("get", "pods", place, f"--selector={selector}").splitlines()
    lines += cluster.ask("events", place, "--types=Warning").splitlines()[-_LINES:]
    try:
        log = cluster.ask(
            "logs", place, f"deployment/{metadata['name']}", f"--tail={_LINES}",
            # A pod that starts has no log yet.
            "--pod-running-timeout=1s",
        )  # fmt: skip
    except ApplyError as exc:
        log = str(exc)
    return "".join(f"\n    {line}" for line in [*lines, *log.splitlines()])
