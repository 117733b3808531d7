"""Rules between settings.

A rule is a function that yields what is wrong with the sections that its parameters name. It sees
sections that are valid by themselves, and is left out where one of them is not.
"""

from collections.abc import Callable, Iterator, Mapping
from inspect import signature

from stacks.errors import Problem
from stacks.rules import engine, gpu, model, openai, replicas, storage
from stacks.sections import Section

RULES: tuple[Callable[..., Iterator[Problem]], ...] = (
    *model.RULES,
    *engine.RULES,
    *gpu.RULES,
    *replicas.RULES,
    *storage.RULES,
    *openai.RULES,
)


def broken_rules(sections: Mapping[str, Section | None]) -> Iterator[Problem]:
    """Yield what is wrong between sections.

    Args:
        sections: Those that are valid, by their names in `StackConfig`; None is an optional one
            that was left out.
    """
    for rule in RULES:
        names = signature(rule).parameters
        if names.keys() <= sections.keys():
            yield from rule(*(sections[name] for name in names))
