"""Who may talk to a stack's pods, and whom they may talk to.

Kubernetes's network policies know addresses, namespaces and labels, no host names: a hub outside
the cluster is any address on the hub's port.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import pulumi_kubernetes as k8s

from components.cluster import PART

_DNS_PORTS = (53, 1053, 5353)
"""Where DNS servers listen, behind their Service: those without root above 1024, as OpenShift's
and the embedded platform's."""

_API_PORTS = (443, 6443, 8443, 16443)
"""Where API servers listen, behind their Service and on their nodes: managed ones, those of kubeadm
and k3s, minikube's, MicroK8s's."""

_Peers = list[k8s.networking.v1.NetworkPolicyPeerArgs]


def server_policy(callers: Sequence[str]) -> k8s.networking.v1.NetworkPolicySpecArgs:
    """Let callers' namespaces and this one in, and nothing out.

    Args:
        callers: Namespaces of the ingress and of Knative.
    """
    return k8s.networking.v1.NetworkPolicySpecArgs(
        pod_selector=_pods("server"),
        policy_types=["Ingress", "Egress"],
        ingress=[
            k8s.networking.v1.NetworkPolicyIngressRuleArgs(from_=[*_namespaces(callers), _here()])
        ],
        egress=[],
    )


def weights_policy(hub: str) -> k8s.networking.v1.NetworkPolicySpecArgs:
    """Let the Job out to name resolution and the hub alone, and nobody in."""
    return k8s.networking.v1.NetworkPolicySpecArgs(
        pod_selector=_pods("weights"),
        policy_types=["Ingress", "Egress"],
        ingress=[],
        egress=[_names(), _to([], [_port(hub)])],
    )


def gate_policy(hub: str, callers: Sequence[str]) -> k8s.networking.v1.NetworkPolicySpecArgs:
    """Let the gates out to names, the hub, the API and the service, and nobody in."""
    return k8s.networking.v1.NetworkPolicySpecArgs(
        pod_selector=_pods("gate"),
        policy_types=["Ingress", "Egress"],
        ingress=[],
        egress=[
            _names(),
            _to([], sorted({_port(hub), *_API_PORTS})),
            _to([*_namespaces(callers), _here()], []),
        ],
    )


def _port(address: str) -> int:
    """The TCP port of an http or https address."""
    parts = urlsplit(address)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _names() -> k8s.networking.v1.NetworkPolicyEgressRuleArgs:
    return k8s.networking.v1.NetworkPolicyEgressRuleArgs(
        ports=[
            k8s.networking.v1.NetworkPolicyPortArgs(port=port, protocol=protocol)
            for port in _DNS_PORTS
            for protocol in ("UDP", "TCP")
        ]
    )


def _to(peers: _Peers, ports: Sequence[int]) -> k8s.networking.v1.NetworkPolicyEgressRuleArgs:
    """Without peers, any address; without ports, any port."""
    return k8s.networking.v1.NetworkPolicyEgressRuleArgs(
        to=peers or None,
        ports=[k8s.networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in ports]
        or None,
    )


def _pods(part: str) -> k8s.meta.v1.LabelSelectorArgs:
    return k8s.meta.v1.LabelSelectorArgs(match_labels={PART: part})


def _here() -> k8s.networking.v1.NetworkPolicyPeerArgs:
    """All pods of the namespace."""
    return k8s.networking.v1.NetworkPolicyPeerArgs(pod_selector=k8s.meta.v1.LabelSelectorArgs())


def _namespaces(names: Sequence[str]) -> _Peers:
    by_name = k8s.meta.v1.LabelSelectorRequirementArgs(
        # Kubernetes's own label, on every namespace.
        key="kubernetes.io/metadata.name",
        operator="In",
        values=list(names),
    )
    return [
        k8s.networking.v1.NetworkPolicyPeerArgs(
            namespace_selector=k8s.meta.v1.LabelSelectorArgs(match_expressions=[by_name])
        )
    ]
