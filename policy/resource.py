"""A resource as rules see it, whoever rendered it, and the kinds of rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


class Unknown:
    """A value that a preview does not have yet: no rule can check it before the update."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = Unknown()

BUILT_IMAGE = "docker:index/image:Image"
"""The type of an image that Pulumi builds."""


@dataclass(frozen=True, kw_only=True)
class StackResource:
    """One resource of a stack.

    Attributes:
        type: Pulumi's type token, such as `kubernetes:batch/v1:Job`.
        name: Its name in the program.
        properties: Its inputs, by the names that its API has.
        protected: Whether Pulumi refuses to delete it.
        retained: Whether it stays in the cluster when Pulumi deletes it.
    """

    type: str
    name: str
    properties: Mapping[str, Any]
    protected: bool = False
    retained: bool = False

    @property
    def kind(self) -> str:
        """The last part of the type token: of a Kubernetes object, its kind."""
        return self.type.rpartition(":")[2]

    def in_group(self, group: str) -> bool:
        """Return whether it is of one of Kubernetes's API groups; the first is called "core"."""
        return self.type.startswith(f"kubernetes:{group}/")


@dataclass(frozen=True, kw_only=True)
class ResourceRule:
    """A rule that each resource has to keep.

    Attributes:
        name: Its name in reports and in CrossGuard's settings.
        description: The rule and its reason, in a sentence.
        check: Yields the faults of a resource: a message for each place.
    """

    name: str
    description: str
    check: Callable[[StackResource], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class StackRule:
    """A rule that the resources of a stack have to keep together.

    Attributes:
        name: Its name in reports and in CrossGuard's settings.
        description: The rule and its reason, in a sentence.
        check: Yields the resources that are wrong, each with the fault.
    """

    name: str
    description: str
    check: Callable[[Sequence[StackResource]], Iterator[tuple[StackResource, str]]]


def resource_rule(
    name: str, description: str
) -> Callable[[Callable[[StackResource], Iterator[str]]], ResourceRule]:
    """Make a rule of the check that this decorates."""
    return lambda check: ResourceRule(name=name, description=description, check=check)


def mapping_at(value: object, *path: str) -> Mapping[str, Any]:
    """Return the mapping at a path of names; an empty one where it is absent or unknown."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items_of(value: object) -> Sequence[Any]:
    """Return the items of a list; none where it is absent or unknown."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def mappings_of(value: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the mappings in a list, each with its index."""
    for index, item in enumerate(items_of(value)):
        if isinstance(item, Mapping):
            yield index, item
