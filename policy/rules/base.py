"""What a rule is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from policy.resource import StackResource


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
