"""The cluster's own schemas and webhooks take every object of every stack, GPU stacks too."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.components.program import program
from tests.platform.kubectl import Namespace
from tests.stacks.documents import SHIPPED

pytestmark = [pytest.mark.platform, pytest.mark.slow]


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    made = Namespace(f"accepted-{secrets.token_hex(4)}")
    made.kubectl("create", "namespace", made.name)
    made.kubectl("label", "namespace", made.name, "pod-security.kubernetes.io/enforce=restricted")
    yield made
    made.kubectl("delete", "namespace", made.name, "--wait=false")


@pytest.mark.parametrize("stack", SHIPPED)
def test_every_object_is_accepted_as_it_is(stack: str, namespace: Namespace) -> None:
    """Unknown fields are an error, and KServe's webhook is asked."""
    items = [
        manifest(it.inputs, namespace.name)
        for it in program(stack).resources
        if it.type.startswith("kubernetes:") and not it.read
    ]
    whole = {"apiVersion": "v1", "kind": "List", "items": items}
    command = ("create", "--dry-run=server", "--validate=strict", "--filename=-")
    assert namespace.kubectl(*command, "--output=name", manifest=whole)


@pytest.mark.parametrize("stack", SHIPPED)
def test_kserve_makes_a_knative_service_of_it_that_knative_accepts(
    stack: str, namespace: Namespace
) -> None:
    service = program(stack).one("v1beta1:InferenceService", "inference-service")
    document = manifest(service.inputs, namespace.name)
    name = document["metadata"]["name"] = f"{document['metadata']['name']}-{stack}"
    namespace.kubectl("create", "--filename=-", manifest=document)
    try:
        # KServe makes it within seconds, or Knative's webhook refuses it for ever.
        for kind in ("services.serving.knative.dev", "configurations.serving.knative.dev"):
            namespace.kubectl("wait", "--for=create", "--timeout=60s", f"{kind}/{name}-predictor")
        annotations = namespace.get("inferenceservices", name)["metadata"]["annotations"]
        assert annotations.items() >= service.inputs["metadata"]["annotations"].items(), (
            "what KServe changes is a difference at the next refresh"
        )
    finally:
        namespace.kubectl("delete", "inferenceservice", name, "--wait=false")


def manifest(inputs: Any, namespace: str) -> dict[str, Any]:
    metadata = dict(inputs["metadata"])
    if "namespace" in metadata:
        metadata["namespace"] = namespace
    else:
        metadata["name"] = f"{namespace}-other"
    return {**inputs, "metadata": metadata}
