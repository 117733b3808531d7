"""Credentials for the docker command line, which takes them from a configuration folder alone."""

import base64
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_platform.plugins.docker.errors import ConfigurationError

# Docker Hub's credentials lie under the address of an interface that it no longer has.
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_DOCKER_HUB_NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A user of a registry."""

    username: str
    password: str = field(repr=False)


def key(server: str) -> str:
    """The name under which Docker's configuration holds a registry's credentials."""
    host = urlsplit(server if "://" in server else f"//{server}").netloc
    return _DOCKER_HUB_KEY if host in _DOCKER_HUB_NAMES else host


@contextmanager
def configuration(credentials: Mapping[str, Credentials]) -> Iterator[Path | None]:
    """A folder for DOCKER_CONFIG, only readable by this user and deleted at the end.

    It holds the user's own configuration with these credentials put before it. Without any, there
    is none: the user's own folder serves.

    Args:
        credentials: By registry, as `key` names it.

    Raises:
        ConfigurationError: The user's own configuration cannot be read.
    """
    if not credentials:
        yield None
        return
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with tempfile.TemporaryDirectory(prefix="docker-config-") as name:
        folder = Path(name)
        merged = json.dumps(_merged(own, credentials))
        (folder / "config.json").touch(mode=0o600)
        (folder / "config.json").write_text(merged)
        if (own / "contexts").is_dir():
            (folder / "contexts").symlink_to(own / "contexts")
        yield folder


def _merged(own: Path, credentials: Mapping[str, Credentials]) -> dict[str, Any]:
    config = _read(own / "config.json")
    auths = config.setdefault("auths", {})
    helpers = config.setdefault("credHelpers", {})
    # A store for everything would hide the credentials put in: it stays for what it already holds.
    if store := config.pop("credsStore", None):
        helpers |= {server: store for server in auths if server not in helpers}
    for server, user in credentials.items():
        helpers.pop(server, None)
        pair = f"{user.username}:{user.password}".encode()
        auths[server] = {"auth": base64.b64encode(pair).decode()}
    config.setdefault("cliPluginsExtraDirs", []).append(str(own / "cli-plugins"))
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"Docker's configuration {path} cannot be read: {exc}") from exc
    if not isinstance(config, dict):
        raise ConfigurationError(f"Docker's configuration {path} is no JSON object")
    return config
