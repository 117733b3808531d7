"""The tests' own network agrees with the examples of Kubernetes's documentation."""

from typing import Any

import pytest

from tests.policy.flows import Peer, allowed


def peer(namespace: str, **labels: str) -> Peer:
    own = {"kubernetes.io/metadata.name": namespace}
    return Peer(name=f"{namespace} {labels}", namespace=own, labels=labels)


DB, WEB, OTHER = peer("shop", role="db"), peer("shop", role="web"), peer("other", role="web")
NODE = Peer(name="node")


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}, **spec}}


def test_a_policy_without_rules_denies_only_its_direction() -> None:
    deny = policy(policyTypes=["Ingress"])
    assert not allowed([deny], WEB, DB, 5432)
    assert not allowed([deny], NODE, DB, 5432)
    assert allowed([deny], DB, OTHER, 80), "egress is not among its types"


def test_a_policy_is_about_the_pods_of_its_namespace_that_it_selects() -> None:
    deny = policy(policyTypes=["Ingress"], podSelector={"matchLabels": {"role": "db"}})
    assert not allowed([deny], WEB, DB, 5432)
    assert allowed([deny], DB, WEB, 80)
    assert allowed([deny], DB, OTHER, 80)


@pytest.mark.parametrize(
    ("peers", "passing"),
    [
        ([{"podSelector": {}}], [WEB]),
        ([{"namespaceSelector": {}}], [WEB, OTHER]),
        ([{"podSelector": {"matchLabels": {"role": "web"}}}], [WEB]),
        ([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"role": "db"}}}], []),
        (
            [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}],
            [OTHER],
        ),
    ],
)
def test_peers_are_selected_as_documented(peers: list[dict[str, Any]], passing: list[Peer]) -> None:
    rule = policy(policyTypes=["Ingress"], ingress=[{"from": peers}])
    assert [it for it in (WEB, OTHER, NODE) if allowed([rule], it, DB, 5432)] == passing


def test_both_ends_have_to_allow_a_connection() -> None:
    out = policy(policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}])
    into = policy(policyTypes=["Ingress"], podSelector={"matchLabels": {"role": "db"}})
    assert allowed([out], WEB, DB, 5432)
    assert not allowed([out, into], WEB, DB, 5432)
