"""Writes a summary as a comment of a pull request, as text for a terminal, and as JSON."""

import json
import re
from collections.abc import Callable
from typing import Any

from operations.preview.capacity import Capacity
from operations.preview.compare import Action, Change
from operations.preview.differences import ABSENT, masked, one_line, path_text, printable, quoted
from operations.preview.summary import StackSummary, Summary

MARKER = "<!-- ft-serving preview -->"
"""The first line of a comment, by which the next run finds it."""

COMMENT_BYTES = 65_000
"""GitHub refuses comments of more than 65536 characters; bytes are never fewer."""

COLUMNS = ("stack", "create", "update", "replace", "delete", "GPUs", "cost per hour")
_MARKS = {Action.CREATE: "+", Action.UPDATE: "~", Action.REPLACE: "!", Action.DELETE: "-"}


def markdown(summary: Summary) -> str:
    """Write a comment: the table and the warnings, then details to open, as far as they fit."""
    head = [
        MARKER,
        "### What this changes in the stacks",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(
            f"| {' | '.join(it.replace('|', chr(92) + '|') for it in _row(stack))} |"
            for stack in summary.stacks
        ),
        "",
    ]
    for stack in summary.stacks:
        if stack.warnings:
            head += [
                "> [!CAUTION]",
                *(f"> - **{quoted(stack.stack)}**: {it}" for it in stack.warnings),
                "",
            ]
    foot = ["", f"Compared with {summary.against}."]
    room = COMMENT_BYTES - _bytes([*head, *foot])
    parts: list[str] = []
    for stack in summary.stacks:
        part = _details(stack, room)
        parts += part
        room -= _bytes(part)
    return "\n".join([*head, *parts, *foot]) + "\n"


def text(summary: Summary) -> str:
    """Write everything, for a terminal."""
    # Only Markdown needs the backticks around a stack's name.
    rows = (_row(stack) for stack in summary.stacks)
    table = [COLUMNS, *((row[0][1:-1], *row[1:]) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))]
    written = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    for stack in summary.stacks:
        body = _body(stack)
        if stack.warnings or body:
            written += ["", f"{printable(stack.stack)}: {_headline(stack)}"]
            written += [f"  WARNING: {it}" for it in stack.warnings]
            written += [f"  {line}" for line in body]
    return "\n".join([*written, "", f"Compared with {summary.against}."]) + "\n"


def as_json(summary: Summary) -> str:
    """Write everything, for programs; a secret is a text that says so."""
    document = {
        "comparedWith": summary.against,
        "stacks": {it.stack: _stack(it) for it in summary.stacks},
    }
    return json.dumps(document, indent=2) + "\n"


def _details(stack: StackSummary, room: int) -> list[str]:
    """Return a section to open, or the command that shows it where there is no room for it."""
    body = _body(stack)
    if not body:
        return []
    # A fence ends at a line of as many backticks; nothing else in it is markup.
    longest = max((len(it) for line in body for it in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    name = re.sub(r"[^A-Za-z0-9._/-]", "?", stack.stack)
    begin = [f"<details><summary>{name}: {_headline(stack)}</summary>", "", f"{fence}diff"]
    end = [fence, "", "</details>", ""]
    section = [*begin, *body, *end]
    if _bytes(section) <= room:
        return section
    command = f"`ft-serving preview --stack {name}`"
    pointer = [f"{name}: {len(body)} lines, too many for a comment; {command} shows them", ""]
    return pointer if _bytes(pointer) <= room else []


def _bytes(written: list[str]) -> int:
    return sum(len(line.encode()) + 1 for line in written)


def _row(stack: StackSummary) -> tuple[str, ...]:
    """Return the cells of the table; the stack's name is between backticks."""
    if stack.refused:
        return (quoted(stack.stack), "refused", *[""] * (len(COLUMNS) - 2))
    if stack.note:
        counts = ["not compared", "", "", ""]
    else:
        counts = [str(stack.count(action) or "") for action in _MARKS]
        if not any(counts):
            counts[0] = "no change"
    cost = _both(stack, lambda it: _cost(it, stack))
    return (quoted(stack.stack), *counts, _both(stack, _gpus), cost)


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


def _headline(stack: StackSummary) -> str:
    if stack.refused:
        return "refused"
    if stack.note:
        return "not compared"
    said = [f"{stack.count(it)} to {it}" for it in _MARKS if stack.count(it)]
    return ", ".join(said) or "no change"


def _body(stack: StackSummary) -> list[str]:
    lines = [printable(line) for line in (stack.refused or stack.note).splitlines()]
    for change in stack.changes:
        name = quoted(change.resource.object_name)[1:-1]
        lines.append(f"{_MARKS[change.action]} {change.action} {change.resource.kind} {name}")
        lines += [
            f"    {one_line(it)}{'  (needs a new one)' if it in change.reasons else ''}"
            for it in change.properties
        ]
    return lines


def _stack(stack: StackSummary) -> dict[str, Any]:
    if stack.refused:
        return {"refused": stack.refused.splitlines()}
    return {
        "warnings": list(stack.warnings),
        "note": stack.note,
        "currency": stack.prices.currency,
        "before": _capacity(stack, stack.before),
        "after": _capacity(stack, stack.after),
        "changes": [_change(it) for it in stack.changes],
    }


def _capacity(stack: StackSummary, capacity: Capacity) -> dict[str, Any]:
    cost = capacity.hourly_cost(stack.prices)
    return {
        "gpu": capacity.gpu,
        "gpus": list(capacity.gpus),
        "costPerHour": None if cost is None else list(cost),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "action": change.action.value,
        "type": change.resource.type,
        "name": change.resource.name,
        "properties": [
            {
                "path": path_text(it.path),
                **({} if it.old is ABSENT else {"old": masked(it.old)}),
                **({} if it.new is ABSENT else {"new": masked(it.new)}),
                "replaces": it in change.reasons,
            }
            for it in change.properties
        ],
    }
