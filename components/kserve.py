"""KServe's InferenceService, typed, and rendered to the names that its API has.

The fields are those of KServe's `serving.kserve.io/v1beta1` and, below the container, of
Kubernetes's `core/v1`. Pulumi does not map the names of a custom resource's spec, so that they are
written as the API has them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.jobs import USER
from components.storage import CACHE_MOUNT, CACHES, MOUNT, RELEASES
from ft_serving.core.protocol import InferenceProtocol
from ft_serving.server.vllm.settings import CACHE
from stacks.config import StackConfig
from stacks.gpus import NodeRequirement
from stacks.quantities import whole_cores
from stacks.resolved import ContainerResources, Scaling
from stacks.sections import Mode, Serving
from stacks.timeouts import (
    LIVENESS_FAILURES,
    LIVENESS_PERIOD_S,
    PROBE_TIMEOUT_S,
    READINESS_PERIOD_S,
    STARTUP_PERIOD_S,
    Timeouts,
)
from stacks.versions import DEPLOYMENT_MODE_ANNOTATION

CONTAINER = "kserve-container"
"""The name that KServe gives a predictor's only container; another one would be renamed."""

HTTP_PORT = 8000
GRPC_PORT = 8001
"""Triton's defaults."""

_MODES = {Mode.SERVERLESS: "Knative", Mode.STANDARD: "Standard"}
"""What KServe's webhook makes of the older names; another value would be drift."""

_VISIBILITY = {
    Mode.SERVERLESS: "networking.knative.dev/visibility",
    Mode.STANDARD: "networking.kserve.io/visibility",
}
"""The labels that keep a service from the public ingress: Knative's, and KServe's for its own rules
(kserve/kserve, pkg/constants)."""

_UNTIL_UNROUTED_S = 5
"""Until every node and the ingress know that a pod gets no more requests."""

_TRITONS_END_S = 30
"""How long Triton lets requests end that it has when it is told to stop: its default."""

_SETTLING_S = 10


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A served release.

    Attributes:
        config: The release, and how it is served.
        account: The service account of the pods.
        image: The server's image, by digest.
        claim: The claim of the volume.
    """

    config: StackConfig
    account: pulumi.Input[str]
    image: pulumi.Input[str]
    claim: pulumi.Input[str]


def render_annotations(mode: Mode) -> dict[str, str]:
    """Return the annotations of the InferenceService itself."""
    return {DEPLOYMENT_MODE_ANNOTATION: _MODES[mode]}


def render_labels(serving: Serving) -> dict[str, str]:
    """Return the labels of the InferenceService itself, beside those of every resource."""
    return {} if serving.public else {_VISIBILITY[serving.mode]: "cluster-local"}


def render_spec(predictor: Predictor) -> dict[str, Any]:
    """Return the InferenceService's spec."""
    config = predictor.config
    scaling, scheduling = config.scaling, config.scheduling
    rendered: dict[str, Any] = {
        "minReplicas": scaling.min,
        "maxReplicas": scaling.max,
        "scaleMetric": scaling.metric.value,
        "scaleTarget": scaling.target,
        "serviceAccountName": predictor.account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(predictor)],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": _claim(predictor)},
            {"name": "shared-memory", "emptyDir": _shared_memory(config.server_resources)},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if predictor.config.serving.mode is Mode.SERVERLESS:
        rendered["annotations"] = _knative_annotations(scaling, predictor.config.timeouts)
        rendered["containerConcurrency"] = scaling.container_concurrency
        rendered["timeout"] = predictor.config.timeouts.request
    else:
        rendered["terminationGracePeriodSeconds"] = _UNTIL_UNROUTED_S + _TRITONS_END_S + _SETTLING_S
        if not scheduling.spare_gpu:
            rendered["deploymentStrategy"] = {"type": "Recreate"}
    if config.node_requirements:
        rendered["affinity"] = _affinity(config.node_requirements)
    if scheduling.tolerations:
        rendered["tolerations"] = [
            it.model_dump(mode="json", by_alias=True, exclude_none=True)
            for it in scheduling.tolerations
        ]
    return {"predictor": rendered}


def _claim(predictor: Predictor) -> dict[str, Any]:
    # A volume that is read-only has no folder that can be written; its mounts say which cannot.
    writable = predictor.config.cache_key is not None
    return {"claimName": predictor.claim, **({} if writable else {"readOnly": True})}


def _cache(predictor: Predictor) -> list[dict[str, str]]:
    """The mount of the folder for what the server compiles, which outlives it."""
    if predictor.config.cache_key is None:
        return []
    folder = f"{CACHES}/{predictor.config.release.name}"
    return [{"name": "models", "mountPath": CACHE_MOUNT, "subPath": folder}]


def _shared_memory(resources: ContainerResources) -> dict[str, str]:
    # A container has 64 MB, too little for several GPUs and for Triton's Python backend.
    size = resources.shared_memory
    return {"medium": "Memory", **({"sizeLimit": size} if size else {})}


def _knative_annotations(scaling: Scaling, timeouts: Timeouts) -> dict[str, str]:
    annotations = {"serving.knative.dev/progress-deadline": f"{timeouts.progress_deadline}s"}
    if scaling.min == 0:
        # Otherwise the first revision may never run, and so never become ready.
        annotations["autoscaling.knative.dev/initial-scale"] = "1"
    return annotations


def _container(predictor: Predictor) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": predictor.image,
        "args": [f"--model-repository={RELEASES}/{predictor.config.release.name}"],
        "env": _environment(predictor),
        "ports": [_port(predictor.config.serving.protocol)],
        "resources": _resources(predictor),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "models", "mountPath": MOUNT, "readOnly": True},
            *_cache(predictor),
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 (the container's own)
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (the container's own)
        ],
        **_probes(predictor),
        **_end(predictor),
    }


def _end(predictor: Predictor) -> dict[str, Any]:
    """What a deleted pod does before it is told to stop.

    Knative has a hook of its own, which waits for the requests under way, and allows no other.
    """
    if predictor.config.serving.mode is Mode.SERVERLESS:
        return {}
    wait = {"exec": {"command": ["sleep", str(_UNTIL_UNROUTED_S)]}}
    return {"lifecycle": {"preStop": wait}}


def _environment(predictor: Predictor) -> list[dict[str, str]]:
    config = predictor.config
    cores = whole_cores(config.server_resources.cpu)
    variables = dict(config.engine.environment(config.demand, cores))
    if config.cache_key is not None:
        variables[CACHE] = f"{CACHE_MOUNT}/{config.cache_key}"
    return [{"name": name, "value": value} for name, value in variables.items()]


def _port(protocol: InferenceProtocol) -> dict[str, Any]:
    # Knative tells the protocol by the port's name, and takes one port alone.
    if protocol is InferenceProtocol.GRPC:
        return {"name": "h2c", "containerPort": GRPC_PORT, "protocol": "TCP"}
    return {"name": "http1", "containerPort": HTTP_PORT, "protocol": "TCP"}


def _resources(predictor: Predictor) -> dict[str, Any]:
    amounts = {
        "cpu": predictor.config.server_resources.cpu,
        "memory": predictor.config.server_resources.memory,
    }
    if predictor.config.server_resources.gpus:
        amounts["nvidia.com/gpu"] = str(predictor.config.server_resources.gpus)
    return {"requests": amounts, "limits": dict(amounts)}


def _probes(predictor: Predictor) -> dict[str, Any]:
    """Nothing ends a server that has not spent the budget on loading.

    For a Deployment that is a startup probe's to see to. Knative's activator asks a pod that wakes
    up several times a second itself, but where there is a startup probe it waits for kubelet's next
    one and the news of it (knative.dev/serving, pkg/activator/net/revision_backends.go). So there
    the liveness probe begins late.
    """
    ready, live, timeouts = _health("ready"), _health("live"), predictor.config.timeouts
    serverless = predictor.config.serving.mode is Mode.SERVERLESS
    readiness, liveness = ready, live
    if predictor.config.serving.protocol is InferenceProtocol.GRPC:
        # Triton opens this port once the model is loaded.
        readiness = {"tcpSocket": {"port": GRPC_PORT}}
        # Knative sends every probe to the service's port, whatever port it names
        # (knative.dev/serving, pkg/reconciler/revision/resources/deploy.go).
        liveness = readiness if serverless else live
    probes: dict[str, Any] = {
        "readinessProbe": {
            **readiness,
            "periodSeconds": READINESS_PERIOD_S,
            "timeoutSeconds": PROBE_TIMEOUT_S,
        },
        "livenessProbe": {
            **liveness,
            "periodSeconds": LIVENESS_PERIOD_S,
            "timeoutSeconds": PROBE_TIMEOUT_S,
            "failureThreshold": LIVENESS_FAILURES,
        },
    }
    if serverless:
        probes["livenessProbe"]["initialDelaySeconds"] = timeouts.loading
    else:
        probes["startupProbe"] = {
            **ready,
            "periodSeconds": STARTUP_PERIOD_S,
            "timeoutSeconds": PROBE_TIMEOUT_S,
            "failureThreshold": math.ceil(timeouts.loading / STARTUP_PERIOD_S),
        }
    return probes


def _health(what: str) -> Mapping[str, Any]:
    return {"httpGet": {"path": f"/v2/health/{what}", "port": HTTP_PORT}}


def _affinity(requirements: tuple[NodeRequirement, ...]) -> dict[str, Any]:
    expressions = [
        {"key": it.key, "operator": "In", "values": list(it.values)} for it in requirements
    ]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
