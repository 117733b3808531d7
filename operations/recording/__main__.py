"""Lists the resources of the stacks of a folder's program: `python -m operations.recording`.

The folder is this checkout or another state of it. Each state has a process of its own, because
their modules have the same names.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pulumi
import yaml

from operations.recording.listing import listing
from operations.recording.recorder import record


def main(folder: str, output: str, *stacks: str) -> None:
    """Write JSON to a file: by stack `resources`, or the program's refusal in `refused`."""
    for name in [name for name in sys.modules if name.split(".")[0] == "operations"]:
        # The recorder is this checkout's; the program imports its own folder's modules.
        del sys.modules[name]
    os.chdir(folder)
    sys.path[0] = str(Path.cwd())
    Path(output).write_text(json.dumps({stack: _listed(stack) for stack in stacks}))


def _listed(stack: str) -> dict[str, Any]:
    document = yaml.safe_load(Path(f"Pulumi.{stack}.yaml").read_text())
    config = document["config"]
    try:
        recording = record(
            lambda: runpy.run_path("__main__.py"),
            stack=stack,
            config={key: _encoded(value) for key, value in config.items()},
            secret_keys=[key for key, value in config.items() if _is_secret(value)],
            digest_of=lambda image: f"(digest of :{image.rpartition(':')[2]})",
        )
    except pulumi.RunError as exc:
        return {"refused": str(exc)}
    return {"resources": listing(recording)}


def _encoded(value: object) -> str:
    """Return a setting as Pulumi hands it to programs; a secret stays encrypted."""
    if isinstance(value, dict) and set(value) == {"secure"}:
        return str(value["secure"])
    return value if isinstance(value, str) else json.dumps(value)


def _is_secret(value: object) -> bool:
    """Return whether a setting is encrypted, or a part of it is."""
    if isinstance(value, dict):
        return "secure" in value or any(map(_is_secret, value.values()))
    return isinstance(value, list) and any(map(_is_secret, value))


if __name__ == "__main__":
    main(*sys.argv[1:])
