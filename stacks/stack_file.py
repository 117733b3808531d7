"""Reads a stack's file without Pulumi."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from ft_serving.core.errors import FtServingError
from stacks.config import SECRETS, StackConfig
from stacks.load import PROJECT, check_secrets
from stacks.parse import parse_config


class StackFileError(FtServingError):
    """There is no such stack, or its file is no stack's file."""


def stack_names(folder: Path) -> list[str]:
    """Return the stacks that have a file in the project's folder, in the order of their names."""
    return sorted(path.name.split(".")[1] for path in folder.glob("Pulumi.*.yaml"))


def read_stack_file(folder: Path, stack: str) -> StackConfig:
    """Read and check `Pulumi.STACK.yaml`.

    Args:
        folder: The project's folder.
        stack: The stack's name.

    Raises:
        StackFileError: The file is missing, or is not YAML of the form that Pulumi writes.
        ConfigError: Its settings are wrong; its message has a line for each problem.
    """
    path = folder / f"Pulumi.{stack}.yaml"
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError as exc:
        known = ", ".join(stack_names(folder)) or "none"
        raise StackFileError(
            f"There is no stack {stack}: {path} is missing. There are {known}"
        ) from exc
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise StackFileError(f"{path} cannot be read: {exc}") from exc
    settings = document.get("config", {}) if isinstance(document, Mapping) else None
    if not isinstance(settings, Mapping):
        raise StackFileError(f"{path} has no group `config` with settings such as {PROJECT}:model")
    sections = {
        name.removeprefix(f"{PROJECT}:"): value
        for name, value in settings.items()
        if isinstance(name, str) and name.startswith(f"{PROJECT}:")
    }
    secret = frozenset(name for name, value in sections.items() if _is_secret(value))
    check_secrets(frozenset(sections), secret)
    return parse_config(
        {name: value for name, value in sections.items() if name not in SECRETS},
        secret,
    )


def _is_secret(value: object) -> bool:
    """Return whether a value is, or holds, one that Pulumi has encrypted."""
    if isinstance(value, Mapping):
        return "secure" in value or any(map(_is_secret, value.values()))
    return isinstance(value, list) and any(map(_is_secret, value))
