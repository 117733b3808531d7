"""`ft-serving benchmark`."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ft_serving.client.commands import connection
from ft_serving.client.commands.connection import Connection

if TYPE_CHECKING:
    from ft_serving.client.measure import Level

MOST_AT_ONCE = 1024
DEFAULT_PROMPT = "Mary has a little lamb."
# What the table has room for; the file has more.
SHOWN = {
    "first_token_s": "FIRST TOKEN\nms, p50/95",
    "time_per_token_s": "A TOKEN\nms, p50/95",
    "latency_s": "LATENCY\nms, p50/95/99",
}


def benchmark(
    url: connection.UrlOption,
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
    protocol: connection.ProtocolOption = None,
    model: connection.ModelOption = None,
    tokenizer: connection.TokenizerOption = None,
    host_header: connection.HostHeaderOption = None,
    ca_file: connection.CaFileOption = None,
    wait: connection.WaitOption = None,
    timeout: connection.TimeoutOption = None,
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

    if plot is not None:
        # Before the measurements: it may not be installed.
        from ft_serving.client.commands import plots
    parameters: Parameters = {}
    if output_length is not None:
        parameters = checked({"output_length": output_length})
    where = Connection(
        url=url,
        protocol=protocol,
        model=model,
        tokenizer=tokenizer,
        host_header=host_header,
        ca_file=ca_file,
        wait=wait,
        timeout=timeout,
    )
    measured = []
    with where.open() as patient:
        ids = [patient.encode(text) for text in prompt or [DEFAULT_PROMPT]]
        streaming = patient.model().decoupled
        # The first request of a server is slower than all others.
        patient.generate_ids(ids[:1], **parameters)
    # A wait for a server that went away would be taken for its speed.
    with dataclasses.replace(where, wait=0.0).open() as client:
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
            connection.say(f"{at_once} at once: {len(level.samples)} in {level.seconds:.1f} s")
            measured.append(level)
    _print(measured)
    if json_file is not None:
        about = {
            "url": url,
            "streaming": streaming,
            "prompt_tokens": [len(prompt_ids) for prompt_ids in ids],
            "parameters": parameters,
        }
        _write(json_file, about, measured)
    if plot is not None:
        plots.draw(measured, plot)
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


def _print(levels: "list[Level]") -> None:
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
        connection.say(f"{count} failed: {message}")


def _milliseconds(level: "Level", quantity: str, heading: str) -> str:
    """The percentiles that the heading names."""
    percentiles = level.percentiles(quantity)
    if percentiles is None:
        return "-"
    values = [1000 * value for name, value in percentiles.items() if name[1:] in heading]
    return "/".join(f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values)


def _write(file: Path, about: dict[str, Any], levels: "list[Level]") -> None:
    document = {**about, "levels": [level.as_dict() for level in levels]}
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
