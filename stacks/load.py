"""Reads the configuration of the stack that Pulumi runs: the only module that asks Pulumi."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stacks.config import HUB_TOKEN, REGISTRY_PASSWORD, SECRETS, StackConfig
from stacks.errors import ConfigError, Problem
from stacks.parse import parse_config

if TYPE_CHECKING:
    import pulumi

PROJECT = "ft-serving"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The stack that Pulumi runs.

    Attributes:
        name: Its name.
        config: Its settings.
        hub_token: For gated and private repositories.
        registry_password: Of `image.username`.
    """

    name: str
    config: StackConfig
    hub_token: pulumi.Output[str] | None
    registry_password: pulumi.Output[str] | None

    def plain_registry_password(self) -> str | None:
        """Return the password in clear, for a login before anything is made; never a resource's."""
        from pulumi.runtime.config import get_config

        password: str | None = get_config(f"{PROJECT}:{REGISTRY_PASSWORD}")
        return password


def load_stack() -> Stack:
    """Read and check the stack's configuration.

    Raises:
        pulumi.RunError: Something is wrong; Pulumi prints its message, all problems in it, and no
            traceback.
    """
    import pulumi
    from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret

    prefix = f"{PROJECT}:"
    raw: dict[str, str] = {
        key.removeprefix(prefix): value
        for key, value in {**get_config_env(), **CONFIG.get()}.items()
        if key.startswith(prefix)
    }
    secret = frozenset(name for name in raw if is_config_secret(f"{prefix}{name}"))
    sections = {name: _plain(value) for name, value in raw.items() if name not in SECRETS}
    try:
        check_secrets(frozenset(raw), secret)
        config = parse_config(sections, frozenset(SECRETS) & raw.keys())
    except ConfigError as exc:
        raise pulumi.RunError(
            f"The configuration cannot be deployed (docs/configuration.md):\n{exc}"
        ) from exc
    values = pulumi.Config(PROJECT)
    return Stack(
        name=pulumi.get_stack(),
        config=config,
        hub_token=values.get_secret(HUB_TOKEN),
        registry_password=values.get_secret(REGISTRY_PASSWORD),
    )


def check_secrets(names: frozenset[str], secret: frozenset[str]) -> None:
    """Check that secrets are where secrets belong, and nowhere else.

    Args:
        names: The sections and secrets that are set.
        secret: Those of them that are, or hold, a value that Pulumi encrypts.

    Raises:
        ConfigError: Some are not; nothing else should be said of the configuration then, because
            that would show values of sections that hold secrets.
    """
    misplaced = [
        _misplaced(name) for name in sorted(names) if (name in SECRETS) != (name in secret)
    ]
    if misplaced:
        raise ConfigError(misplaced)


def _plain(value: str) -> object:
    """Undo Pulumi's encoding: a section arrives as JSON, a text as it is."""
    try:
        plain: object = json.loads(value)
    except ValueError:
        return value
    return plain


def _misplaced(name: str) -> Problem:
    if name in SECRETS:
        got = "plain text, which is in the stack's file now"
        use = f"pulumi config set --secret {name}, with a new one"
        return Problem(name, "must be a secret", got, use)
    use = f"the secrets {' and '.join(SECRETS)} beside the sections"
    return Problem(name, "must hold no secret", "one", use)
