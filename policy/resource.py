"""A resource as rules see it, whoever rendered it, and what a rule is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


class Unknown:
    """A value that a preview does not have yet: what no rule can be about before the update."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = Unknown()


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
        """Whether it is of one of Kubernetes's API groups; the first one is called "core"."""
        return self.type.startswith(f"kubernetes:{group}/")


@dataclass(frozen=True, kw_only=True)
class ResourceRule:
    """What each resource has to keep.

    Attributes:
        name: By which reports and CrossGuard's settings name it.
        description: What is asked for, and why, in a sentence.
        check: Says what is wrong with a resource: a message for each place.
    """

    name: str
    description: str
    check: Callable[[StackResource], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class StackRule:
    """What the resources of a stack have to keep together.

    Attributes:
        name: By which reports and CrossGuard's settings name it.
        description: What is asked for, and why, in a sentence.
        check: Says which resources are wrong, and how.
    """

    name: str
    description: str
    check: Callable[[Sequence[StackResource]], Iterator[tuple[StackResource, str]]]


def mapping_at(value: object, *path: str) -> Mapping[str, Any]:
    """What lies at a path of names; nothing where it is absent or unknown."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items_of(value: object) -> Sequence[Any]:
    """The items of a list; none where it is absent or unknown."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def mappings_of(value: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a list, each with its index."""
    for index, item in enumerate(items_of(value)):
        if isinstance(item, Mapping):
            yield index, item
