"""What namespaces enforce, and what becomes of weights."""

from collections.abc import Iterator

from policy.resource import ResourceRule, StackResource, mapping_at

ENFORCE = "pod-security.kubernetes.io/enforce"


def _restricted(resource: StackResource) -> Iterator[str]:
    if resource.type != "kubernetes:core/v1:Namespace":
        return
    given = mapping_at(resource.properties, "metadata", "labels").get(ENFORCE)
    if given != "restricted":
        yield f"metadata.labels.{ENFORCE}: must be restricted; got {given}"


def _kept(resource: StackResource) -> Iterator[str]:
    if resource.kind == "PersistentVolumeClaim" and not (resource.protected or resource.retained):
        yield "must be protected or retained: deleting it deletes the weights"


KEPT_CLAIMS = ResourceRule(
    name="kept-claims",
    description="Claims outlive a mistaken `pulumi destroy`.",
    check=_kept,
)

RULES = (
    ResourceRule(
        name="restricted-namespaces",
        description="Namespaces refuse pods below Pod Security's level `restricted`.",
        check=_restricted,
    ),
    KEPT_CLAIMS,
)
