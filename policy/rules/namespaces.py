"""What a namespace enforces."""

from collections.abc import Iterator

from policy.resource import StackResource, mapping_at
from policy.rules.base import ResourceRule

ENFORCE = "pod-security.kubernetes.io/enforce"


def _restricted(resource: StackResource) -> Iterator[str]:
    if resource.type != "kubernetes:core/v1:Namespace":
        return
    given = mapping_at(resource.properties, "metadata", "labels").get(ENFORCE)
    if given != "restricted":
        yield f"metadata.labels.{ENFORCE}: must be restricted; got {given}"


RULES = (
    ResourceRule(
        name="restricted-namespaces",
        description="Namespaces refuse pods below Pod Security's level `restricted`.",
        check=_restricted,
    ),
)
