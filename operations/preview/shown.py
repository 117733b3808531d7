"""The sentences and lines that every format of a summary has."""

from collections.abc import Callable

from operations.preview.capacity import Capacity
from operations.preview.changes import Action, Change
from operations.preview.summary import StackSummary, Summary
from operations.preview.words import one_line, quoted

COLUMNS = ("stack", "create", "update", "replace", "delete", "GPUs", "cost per hour")
_COUNTED = (Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DELETE)
_MARKS = {Action.CREATE: "+", Action.UPDATE: "~", Action.REPLACE: "!", Action.DELETE: "-"}


def rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return a row of the table for each stack; the stack's name is between backticks."""
    return [(quoted(it.stack), *_cells(it)) for it in summary.stacks]


def _cells(stack: StackSummary) -> tuple[str, ...]:
    if stack.refused:
        return ("refused", *[""] * (len(COLUMNS) - 2))
    if stack.note:
        counts = ["not compared", "", "", ""]
    else:
        counts = [str(stack.count(action) or "") for action in _COUNTED]
        if not any(counts):
            counts[0] = "no change"
    return (*counts, _both(stack, _gpus), _both(stack, lambda it: _cost(it, stack)))


def _both(stack: StackSummary, shown: Callable[[Capacity], str]) -> str:
    before, after = shown(stack.before), shown(stack.after)
    return after if before == after else f"{before} → {after}"


def _gpus(capacity: Capacity) -> str:
    if not capacity.per_replica:
        return "none"
    return f"{_span(*map(str, capacity.gpus))} {capacity.gpu or 'of unknown type'}"


def _cost(capacity: Capacity, stack: StackSummary) -> str:
    cost = capacity.hourly_cost(stack.prices)
    if cost is None:
        return f"no price of {capacity.gpu or 'these GPUs'} in `cost.gpuHour`"
    if not capacity.per_replica:
        return "none"
    return f"{_span(*(f'{it:.2f}' for it in cost))} {stack.prices.currency}"


def _span(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def headline(stack: StackSummary) -> str:
    """Say in a few words what happens to a stack."""
    if stack.refused:
        return "refused"
    if stack.note:
        return "not compared"
    said = [f"{stack.count(it)} to {it}" for it in _COUNTED if stack.count(it)]
    return ", ".join(said) or "no change"


def lines(stack: StackSummary) -> list[str]:
    """Return what happens to each resource, and to each of its properties, a line each."""
    return [line for change in stack.changes for line in _lines_of(change)]


def _lines_of(change: Change) -> list[str]:
    resource = change.resource
    name = quoted(resource.object_name)[1:-1]
    heading = f"{_MARKS[change.action]} {change.action} {resource.kind} {name}"
    return [
        heading,
        *(
            f"    {one_line(it)}{'  (needs a new one)' if it in change.reasons else ''}"
            for it in change.properties
        ),
    ]
