"""What two states of a stack are, and what a preview says of them."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from operations.preview.compare import Resource, compare
from operations.preview.formats import text
from operations.preview.rendered import resources_of
from operations.preview.summary import StackSummary, Summary, summary_of
from operations.recording.listing import listing
from tests.components.program import program
from tests.stacks.documents import changed, config, shipped


def resources(stack: str, changes: Mapping[str, Any] | None = None) -> tuple[Resource, ...]:
    """What the program makes of a stack that comes with the project."""
    return _resources(stack, json.dumps(changes or {}))


@cache
def _resources(stack: str, changes: str) -> tuple[Resource, ...]:
    settings = changed(shipped(stack), json.loads(changes))
    return resources_of(listing(program(stack, settings)))


def previewed(
    stack: str, head: Mapping[str, Any], base: Mapping[str, Any] | None = None
) -> StackSummary:
    """The summary of a change of a stack's settings, by paths such as `gpu.type`."""
    before, after = resources(stack, base), resources(stack, head)
    settings = config(changed(shipped(stack), head))
    return summary_of(stack, compare(before, after), before, after, settings)


def in_text(*stacks: StackSummary) -> list[str]:
    """The lines that a terminal shows."""
    return text(Summary(against="`main`", stacks=stacks)).splitlines()
