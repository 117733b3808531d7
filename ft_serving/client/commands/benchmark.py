"""The command `ft-serving benchmark`."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ft_serving.client.commands.connection import CONNECTION, UrlOption, connect, options, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ft_serving.client.measure import Level

MOST_AT_ONCE = 1024
DEFAULT_PROMPT = "Mary has a little lamb."
# The table has room for these; the file has more.
SHOWN = {
    "first_token_s": "FIRST TOKEN\nms, p50/95",
    "time_per_token_s": "A TOKEN\nms, p50/95",
    "latency_s": "LATENCY\nms, p50/95/99",
}
PLOTTED = {"latency_s": "latency", "first_token_s": "first token", "time_per_token_s": "a token"}


@options("connection", CONNECTION)
def benchmark(
    url: UrlOption,
    concurrency: Annotated[
        str, typer.Option(help="How many requests at once, one measurement each.")
    ] = "1,2,4,8",
    requests: Annotated[int, typer.Option(min=1, help="Requests a measurement.")] = 32,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which a measurement begins no request.")
    ] = 60.0,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help=f"Taken in turn if repeated; by default {DEFAULT_PROMPT!r}"),
    ] = None,
    output_length: Annotated[
        int | None, typer.Option(help="Most tokens a request; 64 if not given.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file, too.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw them in this PNG; needs the extra `plots`.")
    ] = None,
    *,
    connection: dict[str, Any],
) -> None:
    """Measure tokens a second, time to the first token, and latencies."""
    levels = _concurrencies(concurrency)
    if max(levels) > requests:
        raise typer.BadParameter(
            f"--concurrency {max(levels)} needs as many --requests at least; got {requests}"
        )
    for file in (json_file, plot):
        if file is not None and not file.absolute().parent.is_dir():
            raise typer.BadParameter(f"{file}: there is no folder {file.absolute().parent}")
    from ft_serving.client.errors import ClientError
    from ft_serving.client.measure import measure
    from ft_serving.client.parameters import checked
    from ft_serving.core.parameters import Parameters

    figure = None
    if plot is not None:
        # Before the measurements, because it may not be installed. Without pyplot, which would
        # look for a screen.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
    parameters: Parameters = {}
    if output_length is not None:
        parameters = checked({"output_length": output_length})
    measured = []
    with connect(url, connection) as patient:
        ids = [patient.encode(text) for text in prompt or [DEFAULT_PROMPT]]
        streaming = patient.model().decoupled
        # The first request of a server is slower than all others.
        patient.generate_ids(ids[:1], **parameters)
    # Without patience: a wait for a server that went away would count as its speed.
    with connect(url, {**connection, "wait": 0.0}) as client:
        client.model()
        for at_once in levels:
            level = measure(
                client,
                ids,
                parameters,
                concurrency=at_once,
                requests=requests,
                seconds=seconds,
            )
            say(f"{at_once} at once: {len(level.samples)} in {level.seconds:.1f} s")
            measured.append(level)
    _print(measured)
    if json_file is not None:
        document = {
            "url": url,
            "streaming": streaming,
            "prompt_tokens": [len(prompt_ids) for prompt_ids in ids],
            "parameters": parameters,
            "levels": [level.as_dict() for level in measured],
        }
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if plot is not None and figure is not None:
        _draw(measured, figure)
        figure.savefig(plot, dpi=150, format="png")
    if not any(level.good for level in measured):
        raise ClientError(f"No request was answered: {next(iter(measured[0].errors))}")


def _concurrencies(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(1 <= number <= MOST_AT_ONCE for number in numbers):
        raise typer.BadParameter(
            f"--concurrency: must be numbers from 1 to {MOST_AT_ONCE}, as in 1,2,4; got {text!r}"
        )
    return numbers


def _print(levels: "Sequence[Level]") -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("AT ONCE", "ANSWERED", "FAILED", "TOKENS/S", *SHOWN.values()):
        table.add_column(heading, justify="right")
    for level in levels:
        table.add_row(
            str(level.concurrency),
            str(len(level.good)),
            str(len(level.samples) - len(level.good)),
            f"{level.tokens_per_second:.1f}",
            *(_milliseconds(level, quantity, heading) for quantity, heading in SHOWN.items()),
        )
    Console().print(table)
    failures: Counter[str] = sum((level.errors for level in levels), Counter())
    for message, count in failures.most_common():
        say(f"{count} failed: {message}")


def _milliseconds(level: "Level", quantity: str, heading: str) -> str:
    """Return the percentiles that the heading names."""
    percentiles = level.percentiles(quantity)
    if percentiles is None:
        return "-"
    values = [1000 * value for name, value in percentiles.items() if name[1:] in heading]
    return "/".join(f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values)


def _draw(levels: "Sequence[Level]", figure: "Figure") -> None:
    """Draw throughput and times over concurrency, of the levels that have answers."""
    answered = [level for level in levels if level.good]
    at_once = [level.concurrency for level in answered]
    throughput, times = figure.subplots(1, 2)
    throughput.plot(at_once, [level.tokens_per_second for level in answered], marker="o")
    throughput.set_ylabel("tokens a second, all requests together")
    throughput.set_ylim(bottom=0)
    for number, (quantity, name) in enumerate(PLOTTED.items()):
        found = {level.concurrency: level.percentiles(quantity) for level in answered}
        for percentile, style in (("p50", "-"), ("p95", ":")):
            points = {x: each[percentile] * 1000 for x, each in found.items() if each}
            if points:
                times.plot(
                    list(points),
                    list(points.values()),
                    style,
                    c=f"C{number}",
                    marker="o",
                    label=f"{name}, {percentile}",
                )
    times.set_ylabel("milliseconds")
    times.set_yscale("log")
    times.legend()
    for axes in (throughput, times):
        axes.set_xlabel("requests at once")
        axes.set_xticks(at_once)
        axes.grid(visible=True, alpha=0.3)
