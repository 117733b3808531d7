"""Tools that the machine has already, in the very version that is pinned."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from local_platform.toolchain import pins
from local_platform.toolchain.groups import Group

VERSION_COMMANDS: Mapping[str, tuple[str, ...]] = {"pulumi": ("version",)}
"""How each tool is asked for its version, which is the first one that it prints.

Programs that go into images are not listed: linked dynamically they would not start there. Nor are
those of the group `kubernetes`, which is built as a whole.
"""

# A suffix is part of a version: 1.34.4-rc.1 and 1.34.4+k3s1 are not 1.34.4.
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")


def find_on_path(group: Group) -> Mapping[str, Path] | None:
    """Look for a group's tools on PATH.

    Returns:
        Each tool's program; None unless all are there in the pinned version, and the group is made
        of nothing else.
    """
    if group.copied or group.compiled:
        return None
    wanted = pins.version(group)
    programs = {}
    for package in pins.read_pins(group.modules / group.name).tools:
        name = pins.tool_name(package)
        program = shutil.which(name)
        if program is None or name not in VERSION_COMMANDS or _version(program, name) != wanted:
            return None
        programs[name] = Path(program)
    return programs


def _version(program: str, name: str) -> str | None:
    try:
        asked = subprocess.run(
            [program, *VERSION_COMMANDS[name]], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(asked.stdout)
    return found[0] if asked.returncode == 0 and found else None
