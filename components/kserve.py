"""KServe's InferenceService, typed, and rendered to the names that its API has.

The fields are those of KServe's `serving.kserve.io/v1beta1` and, below the container, of
Kubernetes's `core/v1`. Pulumi does not map the names of a custom resource's spec: they are written
as the API has them.
"""

import math
from dataclasses import dataclass

import pulumi

from components.pods import TMP, Document, node_affinity, pod_security, restricted, tolerations
from components.storage import CACHE_MOUNT, CACHES, MOUNT, RELEASES
from ft_serving.core.protocol import InferenceProtocol
from ft_serving.server.vllm.settings import CACHE
from stacks.config import StackConfig
from stacks.quantities import whole_cores
from stacks.sections import Mode, Serving
from stacks.timeouts import (
    LIVENESS_FAILURES,
    LIVENESS_PERIOD_S,
    PROBE_TIMEOUT_S,
    READINESS_PERIOD_S,
    STARTUP_PERIOD_S,
)
from stacks.versions import DEPLOYMENT_MODE_ANNOTATION

NAME = "fastertransformer-triton"
"""The InferenceService's name: fixed, because it is in its address."""

CONTAINER = "kserve-container"
"""The name that KServe gives a predictor's or a transformer's only container; another one would be
renamed."""

HTTP_PORT = 8000
GRPC_PORT = 8001
"""Triton's defaults."""

_MODES = {Mode.SERVERLESS: "Knative", Mode.STANDARD: "Standard"}
"""The names to which KServe's webhook changes the older ones; another value would be drift."""

_VISIBILITY = {
    Mode.SERVERLESS: "networking.knative.dev/visibility",
    Mode.STANDARD: "networking.kserve.io/visibility",
}
"""The labels that keep a service from the public ingress: Knative's, and KServe's for its own rules
(kserve/kserve, pkg/constants)."""

_UNTIL_UNROUTED_S = 5
"""Until every node and the ingress know that a pod gets no more requests."""

_SERVERS_END_S = 30
"""So long Triton, by default, and the OpenAI API let requests end when they are told to stop."""

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


def render_predictor(predictor: Predictor) -> Document:
    """Return the specification of the server's pods, and of their scaling."""
    config = predictor.config
    # A read-only volume has no folder that can be written; its mounts say which may not be.
    claim = {"claimName": predictor.claim, **({} if config.cache_key else {"readOnly": True})}
    # A container has 64 MB, too little for several GPUs and for Triton's Python backend.
    size = config.server_resources.shared_memory
    shared_memory = {"medium": "Memory", **({"sizeLimit": size} if size else {})}
    affinity = node_affinity(config.node_requirements)
    return {
        **component(config, predictor.account),
        "containers": [_container(predictor)],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": claim},
            {"name": "shared-memory", "emptyDir": shared_memory},
            {"name": "tmp", "emptyDir": {}},
        ],
        **_predictor_mode(config),
        **({"affinity": affinity} if affinity else {}),
    }


def component(config: StackConfig, account: pulumi.Input[str]) -> Document:
    """Return the fields that a predictor and a transformer have alike.

    Args:
        config: The stack's: replicas and their scaling, and the taints that pods tolerate.
        account: The service account of the pods.
    """
    scaling = config.scaling
    return {
        "minReplicas": scaling.min,
        "maxReplicas": scaling.max,
        "scaleMetric": scaling.metric.value,
        "scaleTarget": scaling.target,
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        **_mode(config),
        **tolerations(config),
    }


def _mode(config: StackConfig) -> Document:
    """Return the fields that only one of KServe's modes has."""
    if config.serving.mode is Mode.STANDARD:
        grace = _UNTIL_UNROUTED_S + _SERVERS_END_S + _SETTLING_S
        return {"terminationGracePeriodSeconds": grace}
    deadline = f"{config.timeouts.progress_deadline}s"
    annotations = {"serving.knative.dev/progress-deadline": deadline}
    if config.scaling.min == 0:
        # Otherwise the first revision may never run, and so never become ready.
        annotations["autoscaling.knative.dev/initial-scale"] = "1"
    return {"annotations": annotations, "timeout": config.timeouts.request}


def _predictor_mode(config: StackConfig) -> Document:
    if config.serving.mode is Mode.SERVERLESS:
        return {"containerConcurrency": config.scaling.container_concurrency}
    recreate = {"deploymentStrategy": {"type": "Recreate"}}
    return {} if config.scheduling.spare_gpu else recreate


def _container(predictor: Predictor) -> Document:
    config = predictor.config
    resources, release = config.server_resources, config.release.name
    amounts = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        amounts["nvidia.com/gpu"] = str(resources.gpus)
    variables = dict(config.engine.environment(config.demand, whole_cores(resources.cpu)))
    mounts = [
        {"name": "models", "mountPath": MOUNT, "readOnly": True},
        {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 (the container's own)
        TMP,
    ]
    if config.cache_key is not None:
        # The folder for what the server compiles outlives the server.
        variables[CACHE] = f"{CACHE_MOUNT}/{config.cache_key}"
        folder = f"{CACHES}/{release}"
        mounts.insert(1, {"name": "models", "mountPath": CACHE_MOUNT, "subPath": folder})
    # Knative tells the protocol by the port's name, and takes only one port.
    grpc = config.serving.protocol is InferenceProtocol.GRPC
    port = ("h2c", GRPC_PORT) if grpc else ("http1", HTTP_PORT)
    return {
        "name": CONTAINER,
        "image": predictor.image,
        "args": [f"--model-repository={RELEASES}/{release}"],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "ports": [{"name": port[0], "containerPort": port[1], "protocol": "TCP"}],
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "volumeMounts": mounts,
        **restricted(),
        **_predictor_probes(config),
        **lifecycle(config.serving.mode),
    }


def lifecycle(mode: Mode) -> Document:
    """Return the field of a container that answers until nobody sends it requests.

    Knative has a hook of its own, which waits for the requests under way, and allows no other.
    """
    stop = {"preStop": {"exec": {"command": ["sleep", str(_UNTIL_UNROUTED_S)]}}}
    return {"lifecycle": stop} if mode is Mode.STANDARD else {}


def _predictor_probes(config: StackConfig) -> Document:
    ready, live = (
        {"httpGet": {"path": f"/v2/health/{it}", "port": HTTP_PORT}} for it in ("ready", "live")
    )
    readiness, liveness = ready, live
    if config.serving.protocol is InferenceProtocol.GRPC:
        # Triton opens this port once the model is loaded.
        readiness = {"tcpSocket": {"port": GRPC_PORT}}
        # Knative sends every probe to the service's port, whatever port it names
        # (knative.dev/serving, pkg/reconciler/revision/resources/deploy.go).
        liveness = readiness if config.serving.mode is Mode.SERVERLESS else live
    return probes(config, startup=ready, readiness=readiness, liveness=liveness)


def probes(
    config: StackConfig, *, startup: Document, readiness: Document, liveness: Document
) -> Document:
    """Return probes that end no server that has not spent the budget on loading.

    For a Deployment a startup probe sees to that. Knative's activator asks a pod that wakes up
    several times a second itself, but where there is a startup probe it waits for kubelet's next
    one and the news of it (knative.dev/serving, pkg/activator/net/revision_backends.go). So there
    the liveness probe begins late.

    Args:
        config: The stack's: its budget and its mode.
        startup: The action that tells that the server has loaded.
        readiness: The action that tells that it takes requests.
        liveness: The action that tells that it runs.
    """
    serverless = config.serving.mode is Mode.SERVERLESS
    late = {"initialDelaySeconds": config.timeouts.loading} if serverless else {}
    failures = math.ceil(config.timeouts.loading / STARTUP_PERIOD_S)
    found = {
        "readinessProbe": _probe(readiness, READINESS_PERIOD_S),
        "livenessProbe": _probe(
            liveness, LIVENESS_PERIOD_S, failureThreshold=LIVENESS_FAILURES, **late
        ),
    }
    if not serverless:
        found["startupProbe"] = _probe(startup, STARTUP_PERIOD_S, failureThreshold=failures)
    return found


def _probe(action: Document, period_s: int, **more: int) -> Document:
    return {**action, "periodSeconds": period_s, "timeoutSeconds": PROBE_TIMEOUT_S, **more}
