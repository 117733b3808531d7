"""Evaluates network policies, for networks that enforce none.

As of https://kubernetes.io/docs/concepts/services-networking/network-policies/: they apply when a
Service's address has been replaced by that of a pod or of a node, and what comes from a pod's own
node, as kubelet's probes do, always passes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from policy.rules.network import selects

Document = Mapping[str, Any]
Direction = Literal["ingress", "egress"]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One end of a connection.

    Attributes:
        name: What it is, for messages.
        namespace: Its namespace's labels; empty outside of all pods, as on a node.
        labels: The pod's labels; None outside of all pods.
    """

    name: str
    namespace: Document = field(default_factory=dict)
    labels: Document | None = None


def allowed(
    policies: Iterable[Document], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Return whether a connection may be made.

    Args:
        policies: All NetworkPolicies, as the API has them.
        source: Who connects.
        target: Who listens.
        port: Where it listens.
        protocol: TCP or UDP.
    """
    policies = list(policies)
    return _passes(policies, "egress", source, target, port, protocol) and _passes(
        policies, "ingress", target, source, port, protocol
    )


def _passes(
    policies: list[Document], direction: Direction, pod: Peer, other: Peer, port: int, protocol: str
) -> bool:
    """Return whether the policies about one end allow the other one."""
    about = [it["spec"] for it in policies if _is_about(it, pod, direction)]
    rules = [rule for spec in about for rule in spec.get(direction) or ()]
    peers = "from" if direction == "ingress" else "to"
    return not about or any(
        _is_peer(rule.get(peers), pod, other) and _is_port(rule.get("ports"), port, protocol)
        for rule in rules
    )


def _is_about(policy: Document, pod: Peer, direction: Direction) -> bool:
    spec = policy["spec"]
    return (
        pod.labels is not None
        and pod.namespace["kubernetes.io/metadata.name"] == policy["metadata"]["namespace"]
        and direction.capitalize() in spec["policyTypes"]
        and selects(spec["podSelector"], pod.labels)
    )


def _is_peer(peers: list[Document] | None, pod: Peer, other: Peer) -> bool:
    if not peers:
        return True
    return other.labels is not None and any(
        _selects(it, pod.namespace, other, other.labels) for it in peers
    )


def _selects(peer: Document, own_namespace: Document, other: Peer, labels: Document) -> bool:
    assert "ipBlock" not in peer, "the program has no rule by address"
    namespace = peer.get("namespaceSelector")
    near = (
        other.namespace == own_namespace
        if namespace is None
        else selects(namespace, other.namespace)
    )
    return near and selects(peer.get("podSelector") or {}, labels)


def _is_port(ports: list[Document] | None, port: int, protocol: str) -> bool:
    return not ports or any(
        it["port"] == port and it.get("protocol", "TCP") == protocol for it in ports
    )
