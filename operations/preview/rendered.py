"""Renders the program's resources without credentials, of this checkout or of another state."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from operations import ROOT
from operations.errors import OperationsError
from operations.preview.compare import Resource
from operations.recording.recorder import COMPONENT


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """The program's resources for a stack."""

    # All that exist outside of Pulumi; none where the stack has no file.
    resources: tuple[Resource, ...] = ()
    refused: str = ""  # What is wrong with the stack's settings, if the program refuses them.


@contextmanager
def checkout(project: Path, base: str) -> Iterator[Path]:
    """Provide the folder of another state: of a folder with a checkout, or of a commit.

    Raises:
        OperationsError: `base` is neither.
    """
    if base and (Path(base) / "Pulumi.yaml").is_file():
        yield Path(base).resolve()
        return
    commit = _git(project, "rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")
    with TemporaryDirectory(prefix="ft-serving-base-") as scratch:
        folder = Path(scratch) / "project"
        # An index of its own, so that the checkout's stays as it is; and files with the modes that
        # the checkout's have, because those decide the tags of images.
        index = {"GIT_INDEX_FILE": f"{scratch}/index"}
        _git(project, "read-tree", commit.strip(), variables=index)
        _git(project, "checkout-index", "--all", f"--prefix={folder}/", variables=index)
        if not (folder / "Pulumi.yaml").is_file():
            raise OperationsError(f"{base} is a commit without this project: it has no Pulumi.yaml")
        yield folder


def render(folder: Path, stacks: Sequence[str]) -> dict[str, Rendered]:
    """Render stacks by the program in a folder.

    Raises:
        OperationsError: The program fails, other than by refusing a stack's settings.
    """
    there = [stack for stack in stacks if (folder / f"Pulumi.{stack}.yaml").is_file()]
    listed = _listed(folder, there) if there else {}
    return {
        stack: Rendered(
            resources=resources_of(listed.get(stack, {}).get("resources", ())),
            refused=listed.get(stack, {}).get("refused", ""),
        )
        for stack in stacks
    }


def resources_of(listing: Iterable[Mapping[str, Any]]) -> tuple[Resource, ...]:
    """Read the list of `operations.recording.listing`, but not what exists only in Pulumi."""
    return tuple(
        Resource(
            type=it["type"],
            name=it["name"],
            inputs=it["inputs"],
            protect=it["options"].get("protect", False),
            retain=it["options"].get("retainOnDelete", False),
            replaced_on=tuple(it["options"].get("replaceOnChanges", ())),
        )
        for it in listing
        if not it["read"] and not it["type"].startswith(COMPONENT)
    )


def run(
    command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder without input, and return its output and exit code."""
    return subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _listed(folder: Path, stacks: Sequence[str]) -> dict[str, Any]:
    # Settings of the shell, such as the choice of a cluster, are no part of a stack.
    variables = {
        name: value
        for name, value in os.environ.items()
        if name not in ("KUBECONFIG", "PYTHONPATH") and not name.startswith("PULUMI_")
    }
    with TemporaryDirectory(prefix="ft-serving-list-") as scratch:
        output = Path(scratch) / "resources.json"
        command = [sys.executable, "-m", "operations.recording", str(folder), str(output), *stacks]
        done = run(command, ROOT, variables)
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise OperationsError(
                f"The program in {folder} fails: {said[-1] if said else done.returncode}"
            )
        listed: dict[str, Any] = json.loads(output.read_text())
        return listed


def _git(project: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    try:
        done = run(["git", *arguments], project, {**os.environ, **(variables or {})})
    except FileNotFoundError as exc:
        raise OperationsError("git is not installed; --base also takes a folder") from exc
    if done.returncode != 0:
        raise OperationsError(
            f"--base must be a folder with a Pulumi.yaml or a commit; git says: "
            f"{done.stderr.strip() or done.returncode}"
        )
    return done.stdout
