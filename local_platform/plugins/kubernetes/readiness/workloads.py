"""Deployments, StatefulSets and DaemonSets: ready when their present template is rolled out."""

from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.readiness.pods import PodErrors, selected
from local_platform.plugins.kubernetes.readiness.state import (
    READY,
    State,
    condition,
    failed,
    label,
    observed,
    waiting,
)


def check_deployment(errors: PodErrors, deployment: Object, cluster: Cluster) -> State:
    """Rolled out when all replicas are new ones and available; failed at its progress deadline."""
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    progressing = condition(deployment, "Progressing")
    if not _observed(deployment):
        return waiting(f"Waiting for {label(deployment)} to be seen by its controller")
    if progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded":
        return failed(
            f"{label(deployment)}: [ProgressDeadlineExceeded] {progressing.get('message')}",
            errors.of(selected(deployment, cluster), cluster),
        )
    counts = {name: status.get(name, 0) for name in ("replicas", "updatedReplicas")}
    available = status.get("availableReplicas", 0)
    if counts == {"replicas": wanted, "updatedReplicas": wanted} and available == wanted:
        return READY
    return waiting(
        f"Waiting for {label(deployment)} to be rolled out "
        f"({counts['updatedReplicas']} of {wanted} updated, {available} available)",
        errors.of(selected(deployment, cluster), cluster),
    )


def check_stateful_set(errors: PodErrors, stateful_set: Object, cluster: Cluster) -> State:
    """Rolled out when all replicas are ready and of the present revision, unless told to be not."""
    status = stateful_set.get("status") or {}
    spec = stateful_set["spec"]
    wanted = spec.get("replicas", 1)
    strategy = spec.get("updateStrategy") or {}
    to_update = max(0, wanted - ((strategy.get("rollingUpdate") or {}).get("partition") or 0))
    if strategy.get("type") == "OnDelete":
        to_update = 0
    if not _observed(stateful_set):
        return waiting(f"Waiting for {label(stateful_set)} to be seen by its controller")
    ready = status.get("readyReplicas", 0)
    updated = status.get("updatedReplicas", 0)
    if status.get("currentRevision") == status.get("updateRevision"):
        updated = max(updated, ready)
    if ready == wanted == status.get("replicas", 0) and updated >= to_update:
        return READY
    return waiting(
        f"Waiting for {label(stateful_set)} to be rolled out "
        f"({min(updated, wanted)} of {wanted} updated, {ready} ready)",
        errors.of(selected(stateful_set, cluster), cluster),
    )


def check_daemon_set(errors: PodErrors, daemon_set: Object, cluster: Cluster) -> State:
    """Rolled out when every node that should run it runs its present template."""
    status = daemon_set.get("status") or {}
    if not _observed(daemon_set):
        return waiting(f"Waiting for {label(daemon_set)} to be seen by its controller")
    wanted = status.get("desiredNumberScheduled", 0)
    updated = status.get("updatedNumberScheduled", 0)
    strategy = (daemon_set["spec"].get("updateStrategy") or {}).get("type")
    if status.get("numberAvailable", 0) >= wanted and (updated >= wanted or strategy == "OnDelete"):
        return READY
    return waiting(
        f"Waiting for {label(daemon_set)} to be rolled out "
        f"({updated} of {wanted} updated, {status.get('numberAvailable', 0)} available)",
        errors.of(selected(daemon_set, cluster), cluster),
    )


def _observed(workload: Object) -> bool:
    """Whether the controller has written any status, and of the present spec."""
    return "observedGeneration" in (workload.get("status") or {}) and observed(workload)
