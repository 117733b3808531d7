"""The command line: `python -m local_platform.hub --root models`."""

import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from local_platform.command_line import run
from local_platform.errors import PlatformError
from local_platform.hub.server import HubServer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_ENDING = (signal.SIGTERM, signal.SIGINT)


@app.command()
def serve(
    root: Annotated[
        Path, typer.Option(help="Folder that holds models, at NAME or NAMESPACE/NAME.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8090,
    token_file: Annotated[
        typer.FileText | None,
        typer.Option(
            help="File with the token that clients must send; without it, none is asked.",
            encoding="latin-1",  # As headers are read, and no byte is an error.
        ),
    ] = None,
) -> None:
    """Serve folders as models by the Hugging Face hub's protocol, read-only."""
    # On stderr, a line for every request.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    token = token_file.read().strip() if token_file else None
    if token == "":
        raise PlatformError("--token-file: the file holds no token")
    hub = HubServer(root, host=host, port=port, token=token)
    # Reading models may take minutes. Until that is done, a signal ends the process at once.
    snapshots = hub.snapshots()
    # Blocked in every thread, because a handler would miss a signal that comes just before the main
    # thread begins to wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    with hub:
        typer.echo(
            f"Serving at {hub.url}: "
            + ", ".join(f"{model.repo_id} at {model.commit}" for model in snapshots)
            + f". Clients use it with HF_ENDPOINT={hub.url}"
        )
        signal.sigwait(_ENDING)


if __name__ == "__main__":
    run(app, "python -m local_platform.hub")
