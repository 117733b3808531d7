"""What becomes of weights."""

from collections.abc import Iterator

from policy.resource import Resource
from policy.rules.base import Rule


def _kept(resource: Resource) -> Iterator[str]:
    if resource.kind == "PersistentVolumeClaim" and not (resource.protected or resource.retained):
        yield "must be protected or retained: deleting it deletes the weights"


KEPT_CLAIMS = Rule(
    name="kept-claims",
    description="Claims outlive a mistaken `pulumi destroy`.",
    check=_kept,
)

RULES = (KEPT_CLAIMS,)
