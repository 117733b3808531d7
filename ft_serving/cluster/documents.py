"""Reads parts of Kubernetes API documents, which are plain JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]
"""An object of the API as JSON has it: https://kubernetes.io/docs/reference/kubernetes-api/."""


def name(document: Document) -> str:
    """Return an object's name."""
    return str(document["metadata"]["name"])


def label(document: Document, key: str) -> str:
    """Return a label's value, or an empty text."""
    return str((document["metadata"].get("labels") or {}).get(key, ""))


def annotation(document: Document, key: str) -> str:
    """Return an annotation's value, or an empty text."""
    return str((document["metadata"].get("annotations") or {}).get(key, ""))


def condition(document: Document, kind: str) -> Document:
    """Return a condition of an object's status, or an empty one."""
    conditions = document.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


def holds(document: Document, kind: str) -> bool:
    """Return whether a condition of an object's status is true."""
    return bool(condition(document, kind).get("status") == "True")


def time(value: str) -> datetime:
    """Parse a time stamp of the API (RFC 3339)."""
    return datetime.fromisoformat(value)


def created(document: Document) -> datetime:
    """Return when an object was created."""
    return time(document["metadata"]["creationTimestamp"])


def since(condition: Document, otherwise: datetime) -> datetime:
    """Return when a condition got its status, or another time if it does not say."""
    stamp = condition.get("lastTransitionTime")
    return time(stamp) if stamp else otherwise


def is_ending(document: Document) -> bool:
    """Return whether an object is being deleted."""
    return "deletionTimestamp" in document["metadata"]


def containers(pod: Document) -> list[Document]:
    """Return the specifications of a pod's containers, init containers first."""
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def container_statuses(pod: Document) -> list[Document]:
    """Return the statuses of a pod's containers, init containers first."""
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def claim_names(spec: Document) -> set[str]:
    """Return the names of the claims that a pod's specification mounts."""
    volumes = (each.get("persistentVolumeClaim") for each in spec.get("volumes") or ())
    return {claim["claimName"] for claim in volumes if claim is not None}
