"""What must hold between settings.

Each rule sees sections that are valid by themselves; it is left out where one of them is not.
"""

from collections.abc import Iterator, Mapping

from stacks.errors import Problem
from stacks.rules import engine, gpu, image, memory, model, replicas
from stacks.sections import Section

RULES = (*model.RULES, *engine.RULES, *gpu.RULES, *replicas.RULES, *memory.RULES, *image.RULES)


def broken_rules(sections: Mapping[str, Section | None]) -> Iterator[Problem]:
    """Yield what is wrong between sections.

    Args:
        sections: Those that are valid, by their names in `StackConfig`; none is an optional one
            that was left out.
    """
    for rule in RULES:
        if all(name in sections for name in rule.sections):
            yield from rule.check(*(sections[name] for name in rule.sections))
