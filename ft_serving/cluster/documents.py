"""Parts of Kubernetes API documents, which are plain JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]
"""An object of the API as JSON has it: https://kubernetes.io/docs/reference/kubernetes-api/."""


def name(document: Document) -> str:
    """An object's name."""
    return str(document["metadata"]["name"])


def label(document: Document, key: str) -> str:
    """A label's value; empty where there is none."""
    return str((document["metadata"].get("labels") or {}).get(key, ""))


def annotation(document: Document, key: str) -> str:
    """An annotation's value; empty where there is none."""
    return str((document["metadata"].get("annotations") or {}).get(key, ""))


def condition(document: Document, kind: str) -> Document:
    """A condition of an object's status; empty where there is none."""
    conditions = document.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


def time(value: str) -> datetime:
    """A time stamp of the API (RFC 3339)."""
    return datetime.fromisoformat(value)


def since(condition: Document, otherwise: datetime) -> datetime:
    """When a condition came to be as it is."""
    stamp = condition.get("lastTransitionTime")
    return time(stamp) if stamp else otherwise


def containers(pod: Document) -> list[Document]:
    """The specifications of a pod's containers, those that initialise it first."""
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def container_statuses(pod: Document) -> list[Document]:
    """The statuses of a pod's containers, those that initialise it first."""
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def claim_names(spec: Document) -> set[str]:
    """The names of the claims that the volumes of a pod's specification are."""
    volumes = spec.get("volumes") or ()
    return {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in volumes
        if "persistentVolumeClaim" in volume
    }
