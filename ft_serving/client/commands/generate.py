"""`ft-serving generate`."""

import inspect
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Annotated, TextIO, get_type_hints

import typer

from ft_serving.client.commands import connection
from ft_serving.client.commands.connection import Connection
from ft_serving.client.commands.output import Output
from ft_serving.core.parameters import PARAMETERS, Parameters


def _with_parameters(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has an option for each parameter in place of its `**given`.

    Typer reads a command's options from its signature.
    """
    types = get_type_hints(Parameters)
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[types[name] | None, typer.Option(help=row.help)],
        )
        for name, row in PARAMETERS.items()
    ]
    signature = inspect.signature(command)
    *own, _ = signature.parameters.values()
    first = [it for it in own if it.kind is not inspect.Parameter.KEYWORD_ONLY]
    signature = signature.replace(parameters=[*first, *options, *own[len(first) :]])
    command.__dict__["__signature__"] = signature
    return command


@_with_parameters
def generate(
    url: connection.UrlOption,
    prompt: Annotated[
        list[str] | None, typer.Option(help="The prompt; several are sent as one batch.")
    ] = None,
    prompt_file: Annotated[
        typer.FileText | None,
        typer.Option(
            help="File with a prompt a line, - for the standard input.",
            # With or without the byte order mark of editors on Windows.
            encoding="utf-8-sig",
        ),
    ] = None,
    prompt_separator: Annotated[
        str | None,
        typer.Option(
            help="The line between prompts of several lines in --prompt-file; without such a line "
            "the whole file is one prompt."
        ),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with prompts and parameters, or the original example's "
            "sample_request.json; options come before it."
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the text as it comes; for one prompt.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print token ids, lengths and timings, too, as JSON.")
    ] = False,
    *,
    protocol: connection.ProtocolOption = None,
    model: connection.ModelOption = None,
    tokenizer: connection.TokenizerOption = None,
    host_header: connection.HostHeaderOption = None,
    ca_file: connection.CaFileOption = None,
    wait: connection.WaitOption = None,
    timeout: connection.TimeoutOption = None,
    **given: object,
) -> None:
    """Print each prompt with the text that the model generates behind it."""
    from ft_serving.client.parameters import checked
    from ft_serving.client.request_file import read_request

    prompts, parameters = read_request(request) if request else ([], {})
    options = {name: value for name, value in given.items() if value is not None}
    parameters = checked({**parameters, **options})
    if prompt_separator is not None and prompt_file is None:
        raise typer.BadParameter("--prompt-separator is for a --prompt-file; name one")
    of_file = [] if prompt_file is None else _prompts_of(prompt_file, prompt_separator)
    prompts = [*(prompt or ()), *of_file] or prompts
    if not prompts and request:
        raise typer.BadParameter(
            f"{request} has no prompt as text: say what to continue by --prompt or --prompt-file"
        )
    if not prompts:
        raise typer.BadParameter("say what to continue: --prompt, --prompt-file or --request")
    if stream and len(prompts) > 1:
        raise typer.BadParameter(f"--stream takes one prompt; got {len(prompts)}")
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
    with where.open() as client:
        # Before the model: a wrong path, or a prompt that is no text, should not show after ten
        # minutes of waiting.
        for text in prompts:
            client.encode(text)
        begin = time.perf_counter()
        decoupled = client.model().decoupled
        output = Output(as_json=as_json, ready_s=time.perf_counter() - begin)
        if not stream:
            output.whole(client.generate(prompts, **parameters))
            return
        if not decoupled:
            connection.say("The model is not served for streaming: its answer comes in one piece.")
        for chunk in client.stream(prompts[0], **parameters):
            output.chunk(prompts[0], chunk)


def _prompts_of(file: TextIO, separator: str | None) -> list[str]:
    """Return the prompts of a file: its lines, or what lies between the lines `separator`.

    Blank ones are left out.

    Raises:
        typer.BadParameter: The file is not UTF-8, or has no prompt.
    """
    try:
        lines = [line.rstrip("\r\n") for line in file]
    except UnicodeDecodeError as exc:
        raise typer.BadParameter(f"the file of prompts is not UTF-8 ({exc})") from exc
    if separator is not None:
        between = [list(group) for is_end, group in groupby(lines, separator.__eq__) if not is_end]
        lines = ["\n".join(group) for group in between]
    prompts = [text for text in lines if text.strip()]
    if not prompts:
        raise typer.BadParameter(f"--prompt-file: {file.name} has no prompt in it")
    return prompts
