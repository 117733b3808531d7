"""Options of several commands, which say where a model is served."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ft_serving.core.protocol import MODEL_NAME

if TYPE_CHECKING:
    from ft_serving.client import GenerationClient

Command = Callable[..., None]


CONNECTION: dict[str, Any] = {
    "protocol": Annotated[
        Literal["http", "grpc"] | None,
        typer.Option(help="By default the one that the address names; http, where it names none."),
    ],
    "model": Annotated[
        str | None, typer.Option(help=f"The model's name on the server; {MODEL_NAME} if not given.")
    ],
    "tokenizer": Annotated[
        str | None,
        typer.Option(
            help="A tokenizer.json, a folder that has it or vocab.json and merges.txt, or "
            "OWNER/NAME@REVISION on the model hub (HF_ENDPOINT, HF_TOKEN); by default that of the "
            "published GPT-J 6B."
        ),
    ],
    "host_header": Annotated[
        str | None,
        typer.Option(help="Name that an ingress routes by, where --url has its address."),
    ],
    "ca_file": Annotated[
        Path | None, typer.Option(help="Certificates to trust instead of the system's (PEM).")
    ],
    "wait": Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds to wait for a model that is not ready; 600 if not given."
        ),
    ],
    "timeout": Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Seconds that a request may take, a whole stream included; 300 if not given.",
        ),
    ],
}
"""The options that say how to reach a served model, by name."""

UrlOption = Annotated[
    str,
    typer.Option(
        help="Where the model is served: http://HOST:8000, https://HOST, HOST:8000, "
        "grpc://HOST:8001; without a port 80 or 443, an ingress's. A bearer token is taken from "
        "FT_SERVING_TOKEN."
    ),
]


def options(parameter: str, hints: Mapping[str, Any]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command options in place of a parameter of it.

    Typer reads a command's options from its signature. The command gets a dict of their values.

    Args:
        parameter: The parameter, which the command takes by keyword.
        hints: Each option's annotation; its default is None.
    """
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in hints.items()
    ]

    def decorated(command: Command) -> Command:
        @wraps(command)
        def run(**given: object) -> None:
            values = {name: given.pop(name) for name in hints}
            command(**{parameter: values}, **given)

        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for name, own in signature.parameters.items():
            parameters += added if name == parameter else [own.replace(kind=added[0].kind)]
        run.__dict__["__signature__"] = signature.replace(parameters=parameters)
        return run

    return decorated


def connect(url: str, connection: Mapping[str, Any]) -> "GenerationClient":
    """Return a client with the values of `CONNECTION`'s options; for None and "" its defaults."""
    # grpcio's core writes errors to stderr by itself; here they become messages.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from ft_serving.client import GenerationClient, InferenceProtocol

    given = {name: value for name, value in connection.items() if value not in (None, "")}
    for name in {"wait", "timeout"} & given.keys():
        given[f"{name}_s"] = given.pop(name)
    if "protocol" in given:
        given["protocol"] = InferenceProtocol(given["protocol"])
    return GenerationClient(url, say=say, **given)


def say(message: str) -> None:
    """Tell the user on stderr how a command goes on; its results go to stdout."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
