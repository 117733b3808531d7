"""What becomes of weights."""

from collections.abc import Iterator

from policy.resource import StackResource
from policy.rules.base import ResourceRule


def _kept(resource: StackResource) -> Iterator[str]:
    if resource.kind == "PersistentVolumeClaim" and not (resource.protected or resource.retained):
        yield "must be protected or retained: deleting it deletes the weights"


KEPT_CLAIMS = ResourceRule(
    name="kept-claims",
    description="Claims outlive a mistaken `pulumi destroy`.",
    check=_kept,
)

RULES = (KEPT_CLAIMS,)
