"""The commands of `ft-serving` that a checkout adds.

Their imports run when a command runs, because `--help` should not wait for them.
"""

import typer

from operations.policy import policy
from operations.preflight.command import preflight
from operations.preview.command import preview


def add_commands(app: typer.Typer) -> None:
    """Add the checkout's commands to the command line."""
    app.command()(policy)
    app.command()(preflight)
    app.command()(preview)
