"""Renders what the pods of a stack have in common: no rights, their nodes, their identity.

Pods are rendered by the names that Kubernetes's API has: KServe's spec, which Pulumi does not map,
has the same fields as a Job's. The cluster's own schemas check them in `tests/components`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from stacks.config import StackConfig
from stacks.gpus import NodeRequirement

Document = dict[str, Any]

USER = 1000
"""User and group of the images' processes (docs/images.md)."""

TMP = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 (the container's own)
"""The mount of HOME, because the root file system is read-only. Its volume is an `emptyDir`."""


@dataclass(frozen=True, kw_only=True)
class PodIdentity:
    """The identity of a pod.

    Attributes:
        namespace: Its namespace.
        account: Its service account.
        hub_secret: The Secret whose key "token" is for the model hub; None where none is needed.
    """

    namespace: pulumi.Input[str]
    account: pulumi.Input[str]
    hub_secret: pulumi.Input[str] | None = None


def pod_security() -> Document:
    """Return a pod's security context, as Pod Security's level `restricted` wants it."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def restricted() -> Document:
    """Return the fields of every container: no rights, and a reason when it ends."""
    return {
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The last lines of the log are the command's one error message.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def node_affinity(requirements: Sequence[NodeRequirement]) -> Document:
    """Return the affinity to nodes that meet all requirements; empty where there are none."""
    if not requirements:
        return {}
    expressions = [
        {"key": it.key, "operator": "In", "values": list(it.values)} for it in requirements
    ]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def tolerations(config: StackConfig) -> Document:
    """Return the field of the taints that pods tolerate; empty where there are none."""
    rendered = [
        it.model_dump(mode="json", by_alias=True, exclude_none=True)
        for it in config.scheduling.tolerations
    ]
    return {"tolerations": rendered} if rendered else {}
