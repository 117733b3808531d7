"""What a rule is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stacks.errors import Problem

Problems = Iterator[Problem]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A check of sections together.

    Attributes:
        sections: Their names in `StackConfig`, in the order in which `check` takes them.
        check: Yields what is wrong.
    """

    sections: tuple[str, ...]
    check: Callable[..., Problems]
