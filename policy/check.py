"""All rules, and the check of resources by them, which needs neither Pulumi nor a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass

from policy.resource import ResourceRule, StackResource, StackRule
from policy.rules import access, containers, credentials, network

RULES: tuple[ResourceRule, ...] = (*containers.RULES, *access.RULES, *credentials.RULES)
"""About each resource by itself."""

STACK_RULES: tuple[StackRule, ...] = network.RULES
"""About all resources together."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A rule that a resource breaks.

    Attributes:
        rule: The rule's name.
        resource: The resource that breaks it.
        message: Where and how.
    """

    rule: str
    resource: StackResource
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.resource.kind} {self.resource.name}: {self.message}"


def check(resources: Sequence[StackResource]) -> list[Violation]:
    """Return everything that breaks a rule, by rule."""
    return [
        Violation(rule=rule.name, resource=resource, message=message)
        for rule in RULES
        for resource in resources
        for message in rule.check(resource)
    ] + [
        Violation(rule=stack_rule.name, resource=resource, message=message)
        for stack_rule in STACK_RULES
        for resource, message in stack_rule.check(resources)
    ]
