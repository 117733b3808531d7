"""The objects of Knative Serving for one small node: upstream's, with our images and settings."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from local_platform import settings
from local_platform.addons.manifests import (
    Manifest,
    ObjectName,
    only,
    upstream,
    without_descriptions,
)
from local_platform.errors import PlatformError

NAMESPACE: Final = "knative-serving"
PROGRAMS: Final = ("activator", "autoscaler", "controller", "queue", "webhook")

_IMAGE: Final = "ko://knative.dev/serving/cmd/"

# On one node nothing scales out or needs a disruption budget. The certificate is for TLS inside the
# cluster, which is off; the image is a hint to a cache that is not installed.
_DROPPED: Final = {"HorizontalPodAutoscaler", "PodDisruptionBudget", "Certificate", "Image"}

_CONFIG: Final[dict[str, dict[str, str]]] = {
    "config-autoscaler": {
        # An idle service frees its memory within a minute; a busy one is scaled by the average of
        # ten seconds, which suits models whose answers take seconds.
        "stable-window": "10s",
        "scale-to-zero-grace-period": "5s",
    },
    "config-deployment": {
        # Docker on this machine has resolved the digests of these.
        "registries-skipping-tag-resolving": f"kind.local,ko.local,dev.local,{settings.REGISTRY}",
        "queue-sidecar-cpu-request": "10m",
        "queue-sidecar-memory-request": "32Mi",
    },
    "config-domain": {settings.INGRESS_DOMAIN: ""},
    # A pod that serves a model needs more than Knative's defaults allow: weights on a claim, memory
    # as a volume for Triton, a node with the right GPU, and a locked down container.
    "config-features": dict.fromkeys(
        (
            "kubernetes.podspec-affinity",
            "kubernetes.podspec-nodeselector",
            "kubernetes.podspec-persistent-volume-claim",
            "kubernetes.podspec-persistent-volume-write",
            "kubernetes.podspec-securitycontext",
            "kubernetes.podspec-tolerations",
            "kubernetes.podspec-volumes-emptydir",
        ),
        "enabled",
    ),
    "config-network": {"ingress-class": "traefik.ingress.networking.knative.dev"},
    # docs/monitoring.md asks this of a cluster.
    "config-observability": {
        "metrics-protocol": "prometheus",
        "request-metrics-protocol": "prometheus",
    },
}

# Programs open the port of their metrics when they start, so a change restarts them.
_OBSERVABILITY: Final = "ft-serving.dev/observability"

# Soft limits in MiB of each program's heap, above the heap that was measured.
_MEMORY: Final = {"activator": 64, "autoscaler": 64, "controller": 96, "webhook": 64}

# There is one of each, so no leader is elected. As the first and only member of a StatefulSet a
# program takes no lease, which it would renew in etcd all day, and for which its successor would
# wait a minute after a kill. knative.dev/pkg/leaderelection owns these names.
_ELECTED: Final = ("autoscaler", "controller", "webhook")
_LEADER: Final = "STATEFUL_CONTROLLER_ORDINAL", "STATEFUL_SERVICE_NAME"


def manifests(folder: Path, images: Mapping[str, str]) -> list[Manifest]:
    """Return the objects of Knative Serving from its modules' folder, with our `PROGRAMS`' images.

    Raises:
        PlatformError: Upstream's manifests lack what is changed here.
    """
    found = [
        *upstream(folder / "serving" / "config" / "core"),
        *upstream(folder / "networking" / "config"),
        *upstream(folder / "caching" / "config"),
    ]
    kept = [copy.deepcopy(manifest) for manifest in found if manifest["kind"] not in _DROPPED]
    for name, data in _CONFIG.items():
        only(kept, ObjectName("ConfigMap", NAMESPACE, name))["data"].update(data)
    sidecar = only(kept, ObjectName("ConfigMap", NAMESPACE, "config-deployment"))
    sidecar["data"]["queue-sidecar-image"] = images["queue"]
    return [_fitted(manifest, images) for manifest in kept]


def _fitted(manifest: Manifest, images: Mapping[str, str]) -> Manifest:
    match manifest["kind"]:
        case "CustomResourceDefinition":
            return without_descriptions(manifest)
        case "ConfigMap":
            # Upstream's documentation, and its checksum.
            manifest["data"].pop("_example", None)
            manifest["metadata"].get("annotations", {}).pop("knative.dev/example-checksum", None)
            return manifest
        case "Deployment":
            return _deployment(manifest, images)
        case _:
            return manifest


def _deployment(deployment: Manifest, images: Mapping[str, str]) -> Manifest:
    template = deployment["spec"]["template"]
    annotations = template.setdefault("metadata", {}).setdefault("annotations", {})
    annotations[_OBSERVABILITY] = json.dumps(_CONFIG["config-observability"], sort_keys=True)
    pod = template["spec"]
    pod.pop("affinity", None)  # It spreads replicas over nodes, and there is only one of each.
    # No request needs a longer end: no answer of a model survives `down` or a change of a part.
    pod["terminationGracePeriodSeconds"] = 10
    deployment["spec"]["replicas"] = 1
    deployment["spec"]["strategy"] = {"type": "Recreate"}
    (container,) = pod["containers"]
    program = container["image"].removeprefix(_IMAGE)
    if program not in images:
        raise PlatformError(f"upstream's Knative has a program that is not built: {program}")
    container["image"] = images[program]
    container["resources"] = {
        "requests": {"cpu": "10m", "memory": f"{_MEMORY[program]}Mi"},
        "limits": {"memory": f"{8 * _MEMORY[program]}Mi"},
    }
    environment = {one["name"]: one for one in container["env"]}
    environment.pop("GOGC", None)  # Upstream's value lets the heap grow to five times its use.
    environment["GOMEMLIMIT"] = {"name": "GOMEMLIMIT", "value": f"{_MEMORY[program]}MiB"}
    if program in _ELECTED:
        ordinal, service = _LEADER
        environment[ordinal] = {"name": ordinal, "value": f"{program}-0"}
        environment[service] = {"name": service, "value": program}
    container["env"] = list(environment.values())
    container["readinessProbe"]["periodSeconds"] = 2
    return deployment
