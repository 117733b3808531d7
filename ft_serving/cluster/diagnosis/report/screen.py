"""Prints a report on one screen, on a terminal or into a log."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ft_serving.cluster.diagnosis.report.model import (
    Pod,
    Release,
    Report,
    Revision,
    StackJob,
    Standing,
    Warnings,
)

WIDTH = 100
"""The most columns."""

_MOST_REASON_LINES = 7
_ROOM = WIDTH - 3
_MOST_PODS = 4
_MOST_WARNINGS = 3
_STYLES = {
    Standing.READY: "bold green",
    Standing.SCALED_TO_ZERO: "bold green",
    Standing.ON_ITS_WAY: "bold yellow",
    Standing.FAILED: "bold red",
}
_SOUND = (Standing.READY, Standing.SCALED_TO_ZERO)
_DIGEST = re.compile(r"(@sha256:[0-9a-f]{12})[0-9a-f]{52}")
_TITLE_WIDTH = 8
_POD_ID = 5
_MOST_TEXT = 2 * (WIDTH - _TITLE_WIDTH - 2) - 30
"""Characters of two lines; breaks between words cost about thirty."""


def show(report: Report, console: Console) -> None:
    """Print a report."""
    # rich gives 80 columns to what is no terminal; a log takes more.
    console.width = min(WIDTH, console.width) if console.is_terminal else WIDTH
    with console.capture() as capture:
        for part in _parts(report):
            console.print(part, markup=False, highlight=False)
        for count, step in enumerate(report.next_steps):
            title = Text("" if count else "next", style="bold")
            title.pad_right(_TITLE_WIDTH + 2 - len(title))
            # Users copy commands: a line break in the middle would end them.
            console.print(title.append(step, style="not bold"), highlight=False, soft_wrap=True)
    # A log would keep the spaces that tables are filled up with.
    console.out("\n".join(map(str.rstrip, capture.get().splitlines())), highlight=False)


def _parts(report: Report) -> Iterator[RenderableType]:
    title = Text(f"{report.namespace}/{report.name}  ")
    yield title.append(headline(report), style=_STYLES[report.standing])
    if report.reason:
        yield Padding(Text(_cut(report.reason)), (0, 0, 0, 2))
    yield _grid(_facts(report))
    if report.revisions:
        yield _revisions(report.revisions)
    pods = [_pod(each, report.at) for each in report.pods]
    if len(pods) > _MOST_PODS:
        pods[_MOST_PODS:] = [f"and {len(pods) - _MOST_PODS} more"]
    jobs = [_job(each, report.at) for each in report.jobs]
    # Where all is well, warnings are about the start, such as probes that came early.
    last = [] if report.standing in _SOUND else report.warnings[:_MOST_WARNINGS]
    warnings = [_warning(each, report.at) for each in last]
    yield _grid(
        ("" if count else title, line)
        for title, lines in (("pods", pods), ("jobs", jobs), ("warnings", warnings))
        for count, line in enumerate(lines)
    )


def headline(report: Report) -> str:
    """Return the standing in one line."""
    match report.standing:
        case Standing.READY:
            return "READY"
        case Standing.SCALED_TO_ZERO:
            return "READY, scaled to zero: no replica runs, because nobody asks"
        case Standing.ON_ITS_WAY:
            word = "ON ITS WAY"
        case Standing.FAILED:
            word = f"FAILED ({report.cause})" if report.cause else "FAILED"
    return f"{word}; requests are answered all the same" if report.serving else word


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    if report.url:
        yield "url", report.url
    if report.release:
        yield "release", _release(report.release)
    if report.image:
        yield "image", _short_digests(report.image)
    if report.replicas:
        fewest, most = report.replicas
        yield "replicas", f"{fewest} to {most}, mode {report.mode or 'not chosen yet'}"
    for claim in report.claims:
        about = [claim.size, claim.storage_class and f"class {claim.storage_class}"]
        words = [claim.phase, *about, *claim.access_modes]
        yield "claim", f"{claim.name}: {', '.join(filter(None, words))}"


def _release(release: Release) -> str:
    if release.model is None:
        return f"{release.name} (the Job that prepared it is gone)"
    how = [f"{release.dtype} weights", f"computed in {release.compute_dtype}"]
    how.append(f"tensor parallel {release.tensor_parallel}")
    if release.pipeline_parallel != 1:
        how.append(f"pipeline parallel {release.pipeline_parallel}")
    if release.streaming:
        how.append("streaming")
    return f"{release.name}\n{release.model}\n{', '.join(how)}"


def _revisions(revisions: Iterable[Revision]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("revision", "wanted", "running", "ready", "traffic", "state"):
        table.add_column(column, overflow="fold")
    for each in revisions:
        table.add_row(
            each.name,
            "?" if each.wanted is None else str(each.wanted),
            str(each.running),
            str(each.ready),
            "" if each.traffic is None else f"{each.traffic} %",
            each.state,
        )
    return table


def _pod(pod: Pod, now: datetime) -> str:
    about = [
        pod.state,
        f"on {pod.node}" if pod.node else "on no node",
        f"{_age(pod.created, now)} old",
        f"{pod.restarts} restarts",
        f"last end {pod.last_end}" if pod.last_end else "",
    ]
    return f"{pod.name}\n{', '.join(filter(None, about))}"


def _job(job: StackJob, now: datetime) -> str:
    line = f"{job.role} {job.name}, {_age(job.created, now)} old: {job.phase}"
    said = job.said.partition("\n")[0]
    return _shortened(f"{line}, {said}" if said else line, _MOST_TEXT)


def _warning(warning: Warnings, now: datetime) -> str:
    kind, _, name = warning.about.partition("/")
    # The end of a pod's name tells it from others; `pods` above has the whole.
    about = f"{kind} …{name[-_POD_ID:]}" if kind == "Pod" else f"{kind} {name}"
    how_often = f"{warning.count} times, last {_age(warning.last, now)} ago"
    message = _short_digests(warning.message)
    return _shortened(f"{about} {warning.reason} ({how_often}): {message}", _MOST_TEXT)


def _shortened(line: str, room: int) -> str:
    return line if len(line) <= room else f"{line[:room]}…"


def _grid(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=_TITLE_WIDTH, no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cut(reason: str) -> str:
    # The lines after a sentence are those of a log or a list: their beginnings say enough here.
    first, *rest = _short_digests(reason).splitlines()
    lines = [first, *(_shortened(line, _ROOM) for line in rest)]
    if len(lines) > _MOST_REASON_LINES:
        lines[_MOST_REASON_LINES:] = ["… (--json has all of it)"]
    return "\n".join(lines)


def _short_digests(text: str) -> str:
    return _DIGEST.sub(r"\1…", text)


def _age(since: datetime, now: datetime) -> str:
    """Return a duration in the way of kubectl: 40s, 12m, 5h, 3d."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
