"""The commands `gate`, `gate-job` and `diagnose`."""

import typer

from ft_serving.cluster.commands.diagnose import diagnose
from ft_serving.cluster.commands.gate import gate, gate_job


def add_commands(app: typer.Typer) -> None:
    """Add this room's commands to the command line."""
    app.command()(gate)
    app.command()(gate_job)
    app.command()(diagnose)
