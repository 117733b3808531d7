"""States of a stack, and their previews."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from operations.preview.compare import Change, Resource, compare
from operations.preview.formats import text
from operations.preview.rendered import resources_of
from operations.preview.summary import StackSummary, Summary, summary_of
from operations.preview.warnings import warnings
from operations.recording.listing import listing
from tests.components.program import program
from tests.stacks.documents import changed, config, shipped


def resources(stack: str, changes: Mapping[str, Any] | None = None) -> tuple[Resource, ...]:
    """The program's resources for a stack that comes with the project."""
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


def summary_with(changes: tuple[Change, ...], stack: str = "prod") -> StackSummary:
    """The summary of changes."""
    return StackSummary(stack=stack, changes=changes, warnings=warnings(changes))


def summary(*stacks: StackSummary) -> Summary:
    """Summaries, compared with a commit."""
    return Summary(against="`HEAD^1`, both rendered", stacks=stacks)


def in_text(*stacks: StackSummary) -> list[str]:
    """The lines that a terminal shows."""
    return text(summary(*stacks)).splitlines()


def claim(
    name: str = "models", storage_class: str = "old", size: str = "2Gi", **options: Any
) -> Resource:
    """A claim."""
    requests = {"requests": {"storage": size}}
    return Resource(
        type="kubernetes:core/v1:PersistentVolumeClaim",
        name="storage",
        inputs={
            "metadata": {"name": name},
            "spec": {"storageClassName": storage_class, "resources": requests},
        },
        **options,
    )
