"""The commands of `ft-serving` that a checkout adds.

What a command needs is imported when it runs: `--help` should not wait for it.
"""

from collections.abc import Callable

from operations.policy import policy
from operations.preflight.command import preflight
from operations.preview.command import preview

COMMANDS: tuple[Callable[..., None], ...] = (policy, preflight, preview)
"""Functions with typer's annotations, named as the commands are."""
