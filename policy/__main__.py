"""The rules as a CrossGuard pack: `pulumi up --policy-pack policy`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

# Pulumi runs this folder as a program, so that it and not its parent is where Python looks.
sys.path.insert(0, str(Path(__file__).parents[1]))

from policy.check import RULES, STACK_RULES
from policy.resource import UNKNOWN, ResourceRule, StackResource, StackRule


def main() -> None:
    """Serve the rules to Pulumi's engine."""
    policies: list[Policy] = [
        # CrossGuard does not tell whether a resource is retained.
        *(_of_resources(rule) for rule in RULES if rule.name != "kept-claims"),
        *(_of_stacks(rule) for rule in STACK_RULES),
    ]
    PolicyPack("ft-serving", policies, enforcement_level=EnforcementLevel.MANDATORY)


def _of_resources(rule: ResourceRule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for message in rule.check(_resource(args)):
            report(message, args.urn)

    return ResourceValidationPolicy(rule.name, rule.description, validate)


def _of_stacks(rule: StackRule) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = list(map(_resource, args.resources))
        for resource, message in rule.check(resources):
            (urn,) = (
                it.urn for it, its in zip(args.resources, resources, strict=True) if its is resource
            )
            report(message, urn)

    return StackValidationPolicy(rule.name, rule.description, validate)


def _resource(args: ResourceValidationArgs | PolicyResource) -> StackResource:
    properties = {name: _known(partial(args.props.__getitem__, name)) for name in args.props}
    return StackResource(
        type=args.resource_type,
        name=args.name,
        properties=properties,
        protected=bool(args.opts.protect),
    )


def _known(read: Callable[[], object]) -> object:
    """Read a value, and all values in it, of which a preview may not know some."""
    try:
        value = read()
    except UnknownValueError:
        return UNKNOWN
    if isinstance(value, Mapping):
        return {name: _known(partial(value.__getitem__, name)) for name in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_known(partial(value.__getitem__, index)) for index in range(len(value))]
    return value


main()
