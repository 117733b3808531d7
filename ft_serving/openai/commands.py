"""`ft-serving openai`."""

# What the command needs is imported when it runs: the extra `openai` may not be installed, and
# `--help` should not wait for it.

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Add this room's command to the command line."""
    app.command()(openai)


def openai(
    url: Annotated[str, typer.Option(help="Where the model is served, over HTTP.")],
    tokenizer: Annotated[str, typer.Option(help="tokenizer.json, or the folder that has it.")],
    model: Annotated[str, typer.Option(help="The model's name in requests and answers.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    chat_template: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Jinja template of conversations."),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a model that is not ready.")
    ] = 600.0,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a text may take.")] = 300.0,
) -> None:
    """Serve the OpenAI API in front of a served model, until Ctrl-C."""
    from ft_serving.openai.serve import serve

    serve(
        url,
        tokenizer,
        model,
        host=host,
        port=port,
        chat_template=chat_template.read_text() if chat_template else None,
        wait_s=wait,
        timeout_s=timeout,
    )
