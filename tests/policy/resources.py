"""The resources of the stacks that come with the project, and ways to change one thing of them."""

import copy
from dataclasses import replace
from functools import cache
from typing import Any

from policy.resource import StackResource
from tests.components.program import program
from tests.stacks.documents import MISSING

Path = tuple[str | int, ...]


@cache
def resources(stack: str) -> tuple[StackResource, ...]:
    """All that the program makes of a stack."""
    return tuple(
        StackResource(
            type=it.type,
            name=it.name,
            properties=it.inputs,
            protected=it.request.protect,
            retained=it.request.retainOnDelete,
        )
        for it in program(stack).resources
        if not it.read
    )


def the(stack: str, kind: str, name: str) -> StackResource:
    """A stack's resource, by the last part of its type and its name."""
    (found,) = (
        it
        for it in resources(stack)
        if (it.kind, it.name) == (kind, name) and not it.type.startswith("ft-serving:")
    )
    return found


def changed(resource: StackResource, path: Path, value: object) -> StackResource:
    """A resource with another value somewhere.

    Args:
        resource: The resource.
        path: Where in its properties; objects that are missing on the way are made.
        value: The value; `documents.MISSING` takes out what is there.
    """
    properties: dict[str, Any] = copy.deepcopy(dict(resource.properties))
    place: Any = properties
    for step in path[:-1]:
        place = place[step] if isinstance(step, int) else place.setdefault(step, {})
    if value is MISSING:
        del place[path[-1]]
    elif isinstance(place, list) and path[-1] == len(place):
        place.append(value)
    else:
        place[path[-1]] = value
    return replace(resource, properties=properties)


def instead(stack: str, old: StackResource, new: StackResource) -> list[StackResource]:
    """A stack's resources with another one in the place of one."""
    return [new if it is old else it for it in resources(stack)]
