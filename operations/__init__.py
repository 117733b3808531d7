"""Commands that operate a stack from a checkout, because they need its configuration.

`ft_serving` is installed into images and on users' machines without them.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout's folder, with the stacks' files."""
