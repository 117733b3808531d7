"""Network policies: who may talk to a stack's pods, and whom they may talk to.

Kubernetes's network policies know addresses, namespaces and labels, no host names: a hub outside
the cluster is any address on the hub's port.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from components.cluster import PART
from components.pods import Document

_NAMES = {
    "ports": [
        {"port": port, "protocol": protocol}
        for port in (53, 1053, 5353)
        for protocol in ("UDP", "TCP")
    ]
}
"""The rule for the ports of DNS servers behind their Service: those without root listen above 1024,
as OpenShift's and the embedded platform's."""

_API_PORTS = (443, 6443, 8443, 16443)
"""The ports of API servers, behind their Service and on their nodes: managed ones, those of kubeadm
and k3s, minikube's, MicroK8s's."""


def server_policy(callers: Sequence[str]) -> Document:
    """Let callers' namespaces and this one in, and nothing out.

    Args:
        callers: Namespaces of the ingress and of Knative.
    """
    return _policy("server", ingress=[{"from": _namespaces(callers)}], egress=[])


def openai_policy(callers: Sequence[str]) -> Document:
    """Let callers' namespaces and this one in, and out to names, them and the server.

    Knative has a request to the server go by the ingress and the activator; in mode Standard it
    goes to the server's pod.
    """
    peers = _namespaces(callers)
    return _policy("openai", ingress=[{"from": peers}], egress=[_NAMES, {"to": peers}])


def weights_policy(hub: str) -> Document:
    """Let the Job out to name resolution and the hub only, and nobody in."""
    return _policy("weights", ingress=[], egress=[_NAMES, _tcp(_port(hub))])


def gate_policy(hub: str, callers: Sequence[str]) -> Document:
    """Let the gates out to names, the hub, the API and the service, and nobody in."""
    api = _tcp(*sorted({_port(hub), *_API_PORTS}))
    return _policy("gate", ingress=[], egress=[_NAMES, api, {"to": _namespaces(callers)}])


def _policy(part: str, *, ingress: list[Document], egress: list[Document]) -> Document:
    return {
        "podSelector": {"matchLabels": {PART: part}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": egress,
    }


def _port(address: str) -> int:
    parts = urlsplit(address)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _tcp(*ports: int) -> Document:
    """Return the rule for any address on some ports."""
    return {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}


def _namespaces(names: Sequence[str]) -> list[Document]:
    """Return all pods of some namespaces and of this one, as peers."""
    # Kubernetes's own label, on every namespace.
    label = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(names)}
    return [{"namespaceSelector": {"matchExpressions": [label]}}, {"podSelector": {}}]
