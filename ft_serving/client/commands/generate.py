"""The command `ft-serving generate`."""

import json
import math
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, get_type_hints

import typer

from ft_serving.client.commands.connection import CONNECTION, UrlOption, connect, options, say
from ft_serving.core.parameters import PARAMETERS, Parameters

if TYPE_CHECKING:
    from ft_serving.client import Chunk, Completion, Generation

_PARAMETERS = {
    name: Annotated[hint | None, typer.Option(help=PARAMETERS[name].help)]
    for name, hint in get_type_hints(Parameters).items()
}


@options("given", _PARAMETERS)
@options("connection", CONNECTION)
def generate(
    url: UrlOption,
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
    given: dict[str, Any],
    connection: dict[str, Any],
) -> None:
    """Print each prompt with the text that the model generates behind it."""
    from ft_serving.client.parameters import checked
    from ft_serving.client.request_file import read_request

    prompts, parameters = read_request(request) if request else ([], {})
    given = {name: value for name, value in given.items() if value is not None}
    parameters = checked({**parameters, **given})
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
    with connect(url, connection) as client:
        # Before the model: a wrong path, or a prompt that is no text, should not show after ten
        # minutes of waiting.
        for text in prompts:
            client.encode(text)
        begin = time.perf_counter()
        decoupled = client.model().decoupled
        output = _Output(as_json, time.perf_counter() - begin)
        if not stream:
            output.whole(client.generate(prompts, **parameters))
            return
        if not decoupled:
            say("The model is not served for streaming: its answer comes in one piece.")
        for chunk in client.stream(prompts[0], **parameters):
            output.chunk(prompts[0], chunk)


def _prompts_of(file: TextIO, separator: str | None) -> list[str]:
    """Return the prompts of a file, without blank ones.

    They are its lines, or the texts between the lines that are `separator`.

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


class _Output:
    """Prints generations, and measures seconds from when it is made.

    For people it prints a line `Output: PROMPT AND TEXT` a prompt. As JSON it prints one object on
    a line for all of them; in a stream before it one for each piece.
    """

    def __init__(self, as_json: bool, ready_s: float) -> None:
        self._as_json = as_json
        self._begin = time.perf_counter()
        self._seconds = {"ready": round(ready_s, 6)}

    def whole(self, generations: "list[Generation]") -> None:
        """Print all texts."""
        if self._as_json:
            seconds = {**self._seconds, "generation": self._elapsed()}
            _write_json({"results": [_result(each) for each in generations], "seconds": seconds})
            return
        for generation in generations:
            _write(f"Output: {generation.prompt}{generation.text}\n")

    def chunk(self, prompt: str, chunk: "Chunk") -> None:
        """Print the next piece of the text behind `prompt`."""
        is_first = "first_token" not in self._seconds
        if is_first:
            self._seconds["first_token"] = self._elapsed()
        if not self._as_json:
            _write((f"Output: {prompt}" if is_first else "") + chunk.text)
            _write("\n" if chunk.generation else "")
        elif chunk.generation is None:
            _write_json({"text": chunk.text, "output_ids": chunk.output_ids})
        else:
            self.whole([chunk.generation])

    def _elapsed(self) -> float:
        return round(time.perf_counter() - self._begin, 6)


def _result(generation: "Generation") -> dict[str, Any]:
    pairs = zip(generation.texts, generation.completions, strict=True)
    return {
        "prompt": generation.prompt,
        "prompt_ids": generation.prompt_ids,
        "prompt_length": len(generation.prompt_ids),
        "completions": [_completion(text, completion) for text, completion in pairs],
    }


def _completion(text: str, completion: "Completion") -> dict[str, Any]:
    # JSON has no infinity.
    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    done: dict[str, Any] = {
        "text": text,
        "finish": completion.finish,
        "output_ids": completion.output_ids,
        "output_length": len(completion.output_ids),
    }
    if completion.cum_log_prob is not None:
        done["cum_log_prob"] = finite(completion.cum_log_prob)
    if completion.log_probs is not None:
        done["log_probs"] = [finite(value) for value in completion.log_probs]
    return done


def _write_json(value: dict[str, Any]) -> None:
    _write(json.dumps(value) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
