"""The provider's settings: which daemon, and whose credentials."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from local_platform.plugins.docker.credentials import Credentials, key
from local_platform.plugins.docker.errors import InputError
from local_platform.plugins.values import UNKNOWN, Secret, Value, has_unknown, reveal

_OTHERS = ("caMaterial", "certMaterial", "certPath", "context", "keyMaterial", "sshOpts")
_REGISTRY = ("address", "username", "password")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `pulumi_docker.Provider` was given, or the stack's configuration.

    Attributes:
        host: The daemon's address; None for DOCKER_HOST or Docker's own default.
        credentials: By registry, as Docker's configuration names it.
    """

    host: str | None
    credentials: Mapping[str, Credentials]

    @classmethod
    def read(cls, values: Mapping[str, Value]) -> Self:
        """The settings of values without failures; what a preview does not know is left out."""
        host = reveal(values.get("host"))
        entries = _registries(values)
        return cls(
            host=None if host is UNKNOWN else host or None,
            credentials={
                key(entry["address"]): Credentials(
                    username=entry["username"], password=entry["password"]
                )
                for entry in ([] if has_unknown(entries) else entries)
            },
        )


def check(values: Mapping[str, Value]) -> tuple[dict[str, Value], list[InputError]]:
    """The settings with all credentials secret, and what is wrong with them."""
    failures = [
        InputError(name, "is not served by this plugin; give host, or set DOCKER_HOST")
        for name in _OTHERS
        if values.get(name)
    ]
    entries = _registries(values)
    if entries is UNKNOWN:
        return dict(values), failures
    if not isinstance(entries, list):
        failures.append(InputError("registryAuth", "must be a list of registries"))
        return dict(values), failures
    for index, entry in enumerate([] if has_unknown(entries) else entries):
        if not isinstance(entry, dict) or sorted(entry) != sorted(_REGISTRY):
            names = ", ".join(_REGISTRY)
            failures.append(InputError(f"registryAuth[{index}]", f"must have exactly {names}"))
    registries = values.get("registryAuth")
    if registries is None or isinstance(registries, Secret):
        return dict(values), failures
    return {**values, "registryAuth": Secret(registries)}, failures


def _registries(values: Mapping[str, Value]) -> Value:
    registries = reveal(values.get("registryAuth"))
    if isinstance(registries, str):
        # Settings of providers that are no strings travel as JSON.
        try:
            registries = reveal(json.loads(registries))
        except ValueError:
            return registries
    return [] if registries is None else registries
