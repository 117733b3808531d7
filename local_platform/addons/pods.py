"""Why a Deployment's pods are not ready, in the words of whoever knows."""

from typing import Any, Final

from local_platform.addons.cluster import ClusterObjects
from local_platform.addons.manifests import Manifest
from local_platform.errors import ApplyError

_LOG_LINES: Final = 5


def explain(cluster: ClusterObjects, deployment: Manifest) -> str:
    """What keeps a Deployment from being available.

    Args:
        cluster: Where it is.
        deployment: It, with its status.

    Returns:
        One line, and below it the last lines of a container's log where there is one.

    Raises:
        ApplyError: The API server cannot be asked.
    """
    labels = deployment["spec"]["selector"]["matchLabels"]
    pods = cluster.list(
        "v1",
        "Pod",
        deployment["metadata"]["namespace"],
        ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
    )
    unready = [pod for pod in pods if _condition(pod, "Ready").get("status") != "True"]
    if unready:
        # The newest: the others are on their way out.
        return _pod(
            cluster, max(unready, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        )
    refused = _condition(deployment, "ReplicaFailure")
    return str(refused.get("message") or "its pods are being replaced")


def _pod(cluster: ClusterObjects, pod: Manifest) -> str:
    name = f"pod {pod['metadata']['name']}"
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{name} has no node: {scheduled.get('message', '')}"
    for container in pod["status"].get("containerStatuses", ()):
        if container["ready"]:
            continue
        said = _container(container)
        return "\n".join([f"{name}: {said}", *_log(cluster, pod, container)])
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


def _log(cluster: ClusterObjects, pod: Manifest, container: dict[str, Any]) -> list[str]:
    """The last lines of the container, or of the one that ended where it waits for its restart."""
    if "waiting" in container["state"] and "terminated" not in container.get("lastState", {}):
        return []
    metadata = pod["metadata"]
    try:
        text = cluster.log(
            metadata["namespace"],
            metadata["name"],
            container["name"],
            lines=_LOG_LINES,
            previous="waiting" in container["state"],
        )
    except ApplyError as exc:
        return [f"    no log: {exc}"]
    return [f"    {line}" for line in text.splitlines()]


def _condition(manifest: Manifest, kind: str) -> dict[str, Any]:
    conditions = manifest.get("status", {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})
