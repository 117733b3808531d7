"""Persistent volume claims: ready when bound."""

from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.errors import NotFoundError
from local_platform.plugins.kubernetes.readiness.state import READY, State, failed, label, waiting


def check_claim(claim: Object, cluster: Cluster) -> State:
    """Bound, or of a class that binds no claim before a pod uses it."""
    phase = (claim.get("status") or {}).get("phase", "Pending")
    if phase == "Bound" or _binds_later(claim, cluster):
        return READY
    if phase == "Lost":
        return failed(f"{label(claim)} lost its volume")
    return waiting(f"Waiting for {label(claim)} to be bound (phase: {phase})")


def _binds_later(claim: Object, cluster: Cluster) -> bool:
    name = claim["spec"].get("storageClassName")
    if not name:
        return False
    try:
        storage_class = cluster.get("storage.k8s.io/v1", "StorageClass", None, name)
    except NotFoundError:
        return False
    return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
