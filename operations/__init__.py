"""What operates a stack from a checkout of the project: commands that need its configuration.

One package a topic. `ft_serving` is installed into images and on users' machines without them.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout's folder, with the stacks' files."""
