"""Needs of the shipped stacks, and a sound cluster for each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from operations.preflight.checks import check
from operations.preflight.checks.knative import features
from operations.preflight.facts import FactKind, Facts, PreflightFinding
from operations.preflight.needs import Needs, needs_of
from stacks.config import StackConfig
from tests.fake_api import GROUPS
from tests.stacks.documents import config, shipped

Document = dict[str, Any]
OWN = {"app.kubernetes.io/name": "ft-serving", "app.kubernetes.io/managed-by": "pulumi"}


def stack(name: str, changes: Mapping[str, Any] | None = None) -> StackConfig:
    """A stack that comes with the project, with other values at paths such as `gpu.type`."""
    secrets = {"image.username"} & (changes or {}).keys() and ("registryPassword",)
    return config(shipped(name), changes, *secrets)


def needs(
    name: str, changes: Mapping[str, Any] | None = None, password: str | None = None
) -> Needs:
    """The needs of such a stack."""
    return needs_of(name, stack(name, changes), password)


def node(
    name: str = "node-1",
    *,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Document] = (),
    **allocatable: str,
) -> Document:
    """A node; `nvidia` is its number of GPUs."""
    resources = {"cpu": "64", "memory": "256Gi", **allocatable}
    if "nvidia" in resources:
        resources["nvidia.com/gpu"] = resources.pop("nvidia")
    return {
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": resources},
    }


def gpu_node(name: str = "gpu-1", gpus: int = 8) -> Document:
    """A node with RTX A5000s, as NVIDIA's GPU feature discovery and device plugin leave it."""
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    labels = {"nvidia.com/gpu.product": "NVIDIA-RTX-A5000"}
    return node(name, labels=labels, taints=[taint], nvidia=str(gpus))


def pod(
    namespace: str, on: str, *, labels: Mapping[str, str] | None = None, **wanted: str
) -> Document:
    """A pod on a node; `nvidia` is its number of GPUs."""
    if "nvidia" in wanted:
        wanted["nvidia.com/gpu"] = wanted.pop("nvidia")
    resources = {"requests": wanted, "limits": dict(wanted)}
    return {
        "metadata": {"name": "it", "namespace": namespace, "labels": dict(labels or {})},
        "spec": {"nodeName": on, "containers": [{"name": "c", "resources": resources}]},
    }


def deployment(name: str, version: str, image: str = "host/it@sha256:00") -> Document:
    """A Deployment that runs."""
    labels = {"app.kubernetes.io/version": version} if version else {}
    return {
        "metadata": {"name": name, "namespace": "somewhere", "labels": labels},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": image}]}}},
        "status": {"availableReplicas": 1},
    }


def config_map(name: str, data: Mapping[str, str] | None) -> Document:
    """One of Knative's ConfigMaps; None for one that holds nothing."""
    metadata = {"metadata": {"name": name}}
    return metadata if data is None else {**metadata, "data": dict(data)}


def storage_class(name: str = "shared", provisioner: str = "nfs.csi.k8s.io") -> Document:
    """A default class whose volumes grow."""
    return {
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": provisioner,
        "allowVolumeExpansion": True,
    }


def sound(wanted: Needs) -> Facts:
    """A cluster that has all of it."""
    flags = dict.fromkeys(features(wanted.predictor), "enabled")
    knative = ("activator", "autoscaler", "controller", "webhook")
    objects: dict[FactKind, list[Document] | None] = {
        FactKind.NODES: [
            *(gpu_node(f"gpu-{number}") for number in range(1, 5)),
            node(),
        ],
        FactKind.PODS: [],
        FactKind.STORAGE_CLASSES: [storage_class(wanted.config.storage.storage_class or "shared")],
        FactKind.KSERVE: [deployment("kserve-controller-manager", "", "kserve/controller:v0.17.0")],
        FactKind.KNATIVE: [deployment(name, "1.21.0") for name in knative],
        FactKind.KNATIVE_CONFIG: [
            config_map("config-features", flags),
            config_map("config-defaults", None),
        ],
        FactKind.NAMESPACE: [],
        FactKind.QUOTAS: [],
        FactKind.CLAIM: [],
        FactKind.SERVICE: [],
    }
    return Facts(version="v1.34.4", groups=GROUPS, objects=objects)


def found(
    wanted: Needs,
    objects: Mapping[FactKind, list[Document] | None] | None = None,
    **facts: Any,
) -> list[PreflightFinding]:
    """The findings where a sound cluster has other objects of some kinds, and other facts."""
    whole = sound(wanted)
    return check(wanted, replace(whole, objects={**whole.objects, **(objects or {})}, **facts))
