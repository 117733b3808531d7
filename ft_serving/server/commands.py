"""`ft-serving serve`."""

# The command imports its parts when it runs: the extra `server` may not be installed, and `--help`
# should not wait for them.

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Add this room's command to the command line."""
    app.command()(serve)


def _port_option(name: str, service: str) -> object:
    return typer.Option(f"--{name}-port", min=1, max=65535, help=f"Port of Triton's {service}.")


def serve(
    storage: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Folder of the volume with releases."),
    ],
    release: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of the release to serve; may be left out where there is only one."
        ),
    ] = None,
    http_port: Annotated[int, _port_option("http", "HTTP protocol")] = 8000,
    grpc_port: Annotated[int, _port_option("grpc", "gRPC protocol")] = 8001,
    metrics_port: Annotated[int, _port_option("metrics", "metrics")] = 8002,
    openai_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve the OpenAI API, too, on this port."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show everything that Triton writes.")
    ] = False,
) -> None:
    """Serve a release with Triton on this machine, for this machine only, until Ctrl-C."""
    from ft_serving.server.process import Ports
    from ft_serving.server.serve import serve as run

    ports = Ports(http=http_port, grpc=grpc_port, metrics=metrics_port, openai=openai_port)
    run(storage, release, ports, verbose=verbose, say=typer.echo)
