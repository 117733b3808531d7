"""Services: ready when they lead somewhere."""

from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.readiness.state import READY, State, label, waiting


def check_service(service: Object, cluster: Cluster) -> State:
    """A load balancer has its address; one with a selector and an address has a ready pod."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or not spec.get("selector"):
        return READY
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if spec.get("type") == "LoadBalancer" and not ingress:
        return waiting(f"Waiting for {label(service)} to get the address of a load balancer")
    if spec.get("clusterIP") != "None" and not _has_ready_pod(service, cluster):
        return waiting(f"Waiting for {label(service)} to find ready pods")
    return READY


def _has_ready_pod(service: Object, cluster: Cluster) -> bool:
    metadata = service["metadata"]
    slices = cluster.list(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        metadata["namespace"],
        f"kubernetes.io/service-name={metadata['name']}",
    )
    return any(
        (endpoint.get("conditions") or {}).get("ready") is not False
        for endpoint_slice in slices
        for endpoint in endpoint_slice.get("endpoints") or []
    )
