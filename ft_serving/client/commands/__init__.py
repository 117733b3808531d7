"""The commands `generate` and `benchmark`.

What a command needs is imported when it runs: the extra `client` may not be installed, and
`--help` should not wait for it.
"""

import typer

from ft_serving.client.commands.benchmark import benchmark
from ft_serving.client.commands.generate import generate


def add_commands(app: typer.Typer) -> None:
    """Add this room's commands to the command line."""
    app.command()(generate)
    app.command()(benchmark)
