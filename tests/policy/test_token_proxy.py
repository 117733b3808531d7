"""The token proxy of the documentation keeps the rules that stacks keep."""

from policy.check import check
from policy.resource import StackResource
from tests.policy.token_proxy import manifests


def test_it_keeps_every_rule() -> None:
    image = f"registry.example.com/traefik@sha256:{'0' * 64}"
    made = manifests(namespace="models", image=image, token="a-token")
    assert {it["metadata"]["namespace"] for it in made} == {"models"}
    assert [str(it) for it in check([_resource(it) for it in made])] == []


def _resource(manifest: dict[str, object]) -> StackResource:
    version = str(manifest["apiVersion"])
    group = version if "/" in version else f"core/{version}"
    return StackResource(
        type=f"kubernetes:{group}:{manifest['kind']}", name="it", properties=manifest
    )
