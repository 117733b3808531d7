"""A summary as a comment of a pull request, as text for a terminal, and as JSON for programs."""

import json
import re
from typing import Any

from operations.preview.changes import Change
from operations.preview.differences import ABSENT, path_text
from operations.preview.shown import COLUMNS, headline, lines, rows
from operations.preview.summary import StackSummary, Summary
from operations.preview.words import masked, printable, quoted

MARKER = "<!-- ft-serving preview -->"
"""The first line of a comment, by which the next run finds it."""

COMMENT_BYTES = 65_000
"""GitHub refuses comments of more than 65536 characters; bytes are never fewer."""


def markdown(summary: Summary) -> str:
    """Write a comment: the table and the warnings, then details to open, as far as they fit."""
    head = [
        MARKER,
        "### What this changes in the stacks",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(
            f"| {' | '.join(it.replace('|', chr(92) + '|') for it in row)} |"
            for row in rows(summary)
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


def _details(stack: StackSummary, room: int) -> list[str]:
    """A section to open, of no more bytes than there is room for."""
    body = _body(stack)
    if not body:
        return []
    # A fence ends where as many backticks stand alone; nothing else in it is markup.
    longest = max((len(it) for line in body for it in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    name = re.sub(r"[^A-Za-z0-9._/-]", "?", stack.stack)
    begin = [f"<details><summary>{name}: {headline(stack)}</summary>", "", f"{fence}diff"]
    end = [fence, "", "</details>", ""]
    cut = f"… and {{}} lines more: `ft-serving preview --stack {name}` shows them"
    left = room - _bytes([*begin, *end, cut]) - len(str(len(body)))
    kept: list[str] = []
    for line in body:
        left -= _bytes([line])
        if left < 0:
            break
        kept.append(line)
    if len(kept) < len(body):
        end = [fence, "", cut.format(len(body) - len(kept)), *end[1:]]
        if not kept:
            return [f"{name}: {cut.format(len(body))}", ""] if room > 200 else []
    return [*begin, *kept, *end]


def _body(stack: StackSummary) -> list[str]:
    return [*map(printable, (stack.refused or stack.note).splitlines()), *lines(stack)]


def _bytes(written: list[str]) -> int:
    return sum(len(line.encode()) + 1 for line in written)


def text(summary: Summary) -> str:
    """Write everything, for a terminal."""
    table = [COLUMNS, *((row[0][1:-1], *row[1:]) for row in rows(summary))]
    widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))]
    written = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    for stack in summary.stacks:
        body = _body(stack)
        if stack.warnings or body:
            written += ["", f"{printable(stack.stack)}: {headline(stack)}"]
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


def _stack(stack: StackSummary) -> dict[str, Any]:
    if stack.refused:
        return {"refused": stack.refused.splitlines()}
    return {
        "warnings": list(stack.warnings),
        "note": stack.note,
        "currency": stack.prices.currency,
        "before": _capacity(stack, after=False),
        "after": _capacity(stack, after=True),
        "changes": [_change(it) for it in stack.changes],
    }


def _capacity(stack: StackSummary, *, after: bool) -> dict[str, Any]:
    capacity = stack.after if after else stack.before
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
