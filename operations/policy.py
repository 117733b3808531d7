"""The command `ft-serving policy`."""

from collections.abc import Mapping
from typing import Annotated

import typer

from operations import ROOT
from operations.errors import OperationsError

_UNBUILT = "@(digest of :"
"""A part of the name of an image that is not built yet, as `operations.recording` writes it."""


def policy(
    stack: Annotated[
        list[str] | None, typer.Option(help="A stack; repeated, several. By default all.")
    ] = None,
) -> None:
    """Check the resources of stacks against the rules of policy/, without CrossGuard."""
    from operations.preview.rendered import render
    from policy.check import RULES, STACK_RULES, check
    from policy.resource import StackResource
    from stacks.stack_file import read_stack_file, stack_names

    stacks = stack or stack_names(ROOT)
    for name in stacks:
        read_stack_file(ROOT, name)
    broken: list[str] = []
    for name, rendered in render(ROOT, stacks).items():
        if rendered.refused:
            raise OperationsError(f"Stack {name} cannot be deployed: {rendered.refused}")
        resources = [
            StackResource(
                type=it.type,
                name=it.name,
                properties={key: _known(value) for key, value in it.inputs.items()},
                protected=it.protect,
                retained=it.retain,
            )
            for it in rendered.resources
        ]
        violations = check(resources)
        broken += [f"{name}: {violation}" for violation in violations]
        kept = "breaks rules" if violations else f"keeps {len(RULES) + len(STACK_RULES)} rules"
        typer.echo(f"{name}: {kept}, {len(resources)} resources")
    if broken:
        raise OperationsError("Rules are broken.\n" + "\n".join(broken))


def _known(value: object) -> object:
    from policy.resource import UNKNOWN

    if isinstance(value, Mapping):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_known(item) for item in value]
    return UNKNOWN if isinstance(value, str) and _UNBUILT in value else value
