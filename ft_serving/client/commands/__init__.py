"""The commands `generate` and `benchmark`.

Each imports what it needs when it runs, because the extra `client` may not be installed, and
`--help` should not wait for it.
"""

import typer

from ft_serving.client.commands.benchmark import benchmark
from ft_serving.client.commands.generate import generate


def add_commands(app: typer.Typer) -> None:
    """Add this room's commands to the command line."""
    app.command()(generate)
    app.command()(benchmark)
