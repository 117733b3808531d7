"""Writes the variables by which programs find the platform, and its command-line tools."""

import secrets
import shlex
import shutil
from pathlib import Path

from local_platform.files import write_whole
from local_platform.settings import DATA, DOCKER_SOCKET, HUB_PORT, KUBECONFIG, STACKS
from local_platform.toolchain import Toolchain

BIN = DATA / "bin"
"""Command-line tools, for PATH."""

FILE = DATA / "env"
"""The file with the variables, which a shell reads with `.`."""

PULUMI_HOME = DATA / "pulumi"
"""Pulumi's folder on the platform, with its plugins; the user's own is not changed."""

PASSPHRASE = DATA / "passphrase"
"""The file with the passphrase of the stacks' secrets."""

_TOOLS = ("kubectl", "pulumi", "pulumi-language-python", "pulumi-language-python-exec")

# Debian's, which contains BuildKit: a newer client on PATH may lack its buildx component.
_DOCKER = Path("/usr/bin/docker")


def variables() -> dict[str, str]:
    """Return the variables for programs that use the platform, without PATH."""
    return {
        "DOCKER_HOST": f"unix://{DOCKER_SOCKET}",
        "HF_ENDPOINT": f"http://127.0.0.1:{HUB_PORT}",
        "KUBECONFIG": str(KUBECONFIG),
        "PULUMI_BACKEND_URL": f"file://{STACKS}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(PASSPHRASE),
        "PULUMI_HOME": str(PULUMI_HOME),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def write(toolchain: Toolchain) -> None:
    """Put the tools in `BIN`, and the variables in `FILE`."""
    BIN.mkdir(parents=True, exist_ok=True)
    for name in _TOOLS:
        _place(toolchain.tool(name), BIN / name)
    docker = BIN / "docker"
    if not docker.is_symlink():
        docker.symlink_to(_DOCKER)
    if not PASSPHRASE.exists():
        # Whole or not at all: stacks encrypted with half of it could never be read with another.
        write_whole(PASSPHRASE, secrets.token_urlsafe(24).encode(), mode=0o600)
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables().items()]
    FILE.write_text(f'export PATH={shlex.quote(str(BIN))}:"$PATH"\n{"".join(lines)}')


def _place(program: Path, target: Path) -> None:
    """Copy a program, unless the copy is there.

    A symbolic link will not do: Pulumi looks for its language host beside its own file, and at each
    command warns of one that it finds elsewhere.
    """
    if target.exists() and _size_and_time(target) == _size_and_time(program):
        return
    new = target.with_name(f".{target.name}")
    shutil.copy2(program, new)
    new.rename(target)


def _size_and_time(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns
