"""The pack behind Pulumi's engine, on the platform.

The platform's language host is older than its engine and cannot start packs for it. For a runtime
without a language host the engine starts `pulumi-analyzer-policy-RUNTIME`, which here does what
Python's own language host does today.
"""

import os
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from tests.stacks.documents import ROOT

_RUNTIME = "checkout"


def install(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make the checkout's pack one that the engine starts, and put what starts it on PATH.

    Args:
        folder: An empty folder.
        patch: Changes PATH, for Pulumi's command lines that are made from then on.

    Returns:
        The folder to name with `--policy-pack`.
    """
    pack = yaml.safe_load((ROOT / "policy" / "PulumiPolicy.yaml").read_text())
    (folder / "PulumiPolicy.yaml").write_text(yaml.safe_dump({**pack, "runtime": _RUNTIME}))
    launcher = folder / f"pulumi-analyzer-policy-{_RUNTIME}"
    python, program = shlex.quote(sys.executable), shlex.quote(str(ROOT / "policy"))
    launcher.write_text(f'#!/bin/sh\nexec {python} -u -m pulumi.policy "$1" {program}\n')
    launcher.chmod(0o755)
    patch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder
