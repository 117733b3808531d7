"""All rules: pure functions over resources, which need neither Pulumi nor a cluster."""

from policy.rules import access, claims, containers, credentials, images, namespaces, network
from policy.rules.base import ResourceRule, StackRule

RULES: tuple[ResourceRule, ...] = (
    *containers.RULES,
    *images.RULES,
    *access.RULES,
    *credentials.RULES,
    *namespaces.RULES,
    *claims.RULES,
)
"""About each resource by itself."""

STACK_RULES: tuple[StackRule, ...] = network.RULES
"""About all resources together."""
