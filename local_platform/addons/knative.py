"""Knative Serving for one small node: upstream's manifests, our images and settings."""

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

# One node has nothing to scale to and nothing to be disrupted by. The certificate is for TLS inside
# the cluster, which is off; the image is a hint to a cache that is not installed.
_DROPPED: Final = {"HorizontalPodAutoscaler", "PodDisruptionBudget", "Certificate", "Image"}

_CONFIG: Final[dict[str, dict[str, str]]] = {
    "config-autoscaler": {
        # An idle service gives its memory back within a minute; a busy one is scaled by the average
        # of ten seconds, which suits models whose answers take seconds.
        "stable-window": "10s",
        "scale-to-zero-grace-period": "5s",
    },
    "config-deployment": {
        # Docker on this machine is what resolved the digests of these.
        "registries-skipping-tag-resolving": f"kind.local,ko.local,dev.local,{settings.REGISTRY}",
        "queue-sidecar-cpu-request": "10m",
        "queue-sidecar-memory-request": "32Mi",
    },
    "config-domain": {settings.INGRESS_DOMAIN: ""},
    # What a pod that serves a model needs beyond Knative's defaults: weights on a claim, memory as
    # a volume for Triton, a node with the right GPU, and a locked down container.
    "config-features": {
        "kubernetes.podspec-affinity": "enabled",
        "kubernetes.podspec-nodeselector": "enabled",
        "kubernetes.podspec-persistent-volume-claim": "enabled",
        "kubernetes.podspec-persistent-volume-write": "enabled",
        "kubernetes.podspec-securitycontext": "enabled",
        "kubernetes.podspec-tolerations": "enabled",
        "kubernetes.podspec-volumes-emptydir": "enabled",
    },
    "config-network": {
        "ingress-class": "traefik.ingress.networking.knative.dev",
    },
    # As docs/monitoring.md asks of a cluster: nothing but a scraper asks for them.
    "config-observability": {
        "metrics-protocol": "prometheus",
        "request-metrics-protocol": "prometheus",
    },
}

# Programs open the port of their metrics when they start: a change of this has to start them again.
_OBSERVABILITY: Final = "ft-serving.dev/observability"

# Soft limits in MiB of each program's heap, above what it was seen to need.
_MEMORY: Final = {"activator": 64, "autoscaler": 64, "controller": 96, "webhook": 64}

# There is one of each, so there is nobody to elect. Told that it is the first and only member of a
# StatefulSet, a program takes no leases: none to be renewed in etcd all day, and none of a program
# that was killed to wait a minute for. knative.dev/pkg/leaderelection owns these names.
_ELECTED: Final = ("autoscaler", "controller", "webhook")
_LEADER: Final = "STATEFUL_CONTROLLER_ORDINAL", "STATEFUL_SERVICE_NAME"


def manifests(folder: Path, images: Mapping[str, str]) -> list[Manifest]:
    """The objects of Knative Serving.

    Args:
        folder: Where the modules' `serving/config/core`, `networking/config` and `caching/config`
            lie.
        images: The image reference of each of `PROGRAMS`.

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
            return _without_example(manifest)
        case "Deployment":
            return _deployment(manifest, images)
        case _:
            return manifest


def _without_example(config: Manifest) -> Manifest:
    """Without the documentation that upstream keeps in the configuration, and its checksum."""
    config["data"].pop("_example", None)
    config["metadata"].get("annotations", {}).pop("knative.dev/example-checksum", None)
    return config


def _deployment(deployment: Manifest, images: Mapping[str, str]) -> Manifest:
    template = deployment["spec"]["template"]
    annotations = template.setdefault("metadata", {}).setdefault("annotations", {})
    annotations[_OBSERVABILITY] = json.dumps(_CONFIG["config-observability"], sort_keys=True)
    pod = template["spec"]
    pod.pop("affinity", None)  # It spreads replicas over nodes; there is one of either.
    # The old one has nobody to lose who would wait for it: an answer of a model outlives neither
    # `down` nor a change of the platform.
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
    environment.pop("GOGC", None)  # It spends memory for time: five times the heap in use.
    environment["GOMEMLIMIT"] = {"name": "GOMEMLIMIT", "value": f"{_MEMORY[program]}MiB"}
    if program in _ELECTED:
        ordinal, service = _LEADER
        environment[ordinal] = {"name": ordinal, "value": f"{program}-0"}
        environment[service] = {"name": service, "value": program}
    container["env"] = list(environment.values())
    container["readinessProbe"]["periodSeconds"] = 2
    return deployment
