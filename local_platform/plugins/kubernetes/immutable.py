"""Which changes need a new object, as data.

The API server is asked first: what it calls immutable in a dry run is replaced, whatever the kind.
These rules cover what it cannot be asked (values not known yet) and what the real plugin replaces
by choice. Sources: `ValidateJobUpdate`, `ValidatePersistentVolumeClaimUpdate` and their like in
`pkg/apis/*/validation` of Kubernetes; for ConfigMap and Secret the provider settings
`enableConfigMapMutable` and `enableSecretMutable` of the SDK.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from local_platform.plugins.kubernetes.changes import Path
from local_platform.plugins.kubernetes.settings import Settings

_RULES: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "ReplicaSet"): ("spec.selector",),
    ("apps", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): (
        "spec.backoffLimitPerIndex",
        "spec.completionMode",
        "spec.completions",
        "spec.managedBy",
        "spec.podFailurePolicy",
        "spec.selector",
        "spec.successPolicy",
        "spec.template",
    ),
    ("", "PersistentVolumeClaim"): (
        "spec.accessModes",
        "spec.dataSource",
        "spec.dataSourceRef",
        "spec.resources.limits",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeName",
    ),
    ("", "Pod"): (
        "spec.affinity",
        "spec.initContainers",
        "spec.nodeName",
        "spec.nodeSelector",
        "spec.restartPolicy",
        "spec.securityContext",
        "spec.serviceAccountName",
        "spec.volumes",
    ),
    ("", "Service"): ("spec.clusterIP", "spec.clusterIPs"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("scheduling.k8s.io", "PriorityClass"): ("value",),
    ("storage.k8s.io", "StorageClass"): (
        "parameters",
        "provisioner",
        "reclaimPolicy",
        "volumeBindingMode",
    ),
}

_CONTENT: dict[str, tuple[str, ...]] = {
    "ConfigMap": ("data", "binaryData"),
    "Secret": ("data", "stringData", "type"),
}


def immutable(paths: Iterable[Path], old: Mapping[str, Any], settings: Settings) -> frozenset[Path]:
    """Those of the changed paths that only a new object can have.

    Args:
        paths: What differs.
        old: The inputs that the object was made from.
        settings: The provider's settings.
    """
    group = old["apiVersion"].rpartition("/")[0]
    kind = old["kind"]
    rules = _RULES.get((group, kind), ())
    if not group and kind in _CONTENT:
        rules = _content_rules(kind, old, settings)
    prefixes = [tuple(rule.split(".")) for rule in rules]
    return frozenset(
        path for path in paths if any(path[: len(prefix)] == prefix for prefix in prefixes)
    )


def _content_rules(kind: str, old: Mapping[str, Any], settings: Settings) -> tuple[str, ...]:
    mutable = settings.config_map_mutable if kind == "ConfigMap" else settings.secret_mutable
    if not mutable or old.get("immutable") is True:
        return _CONTENT[kind]
    return ("type",) if kind == "Secret" else ()
