"""The variables by which programs find the platform, and the folder of its command-line tools."""

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
"""A shell reads it with `.`; nothing of it is set anywhere else."""

PULUMI_HOME = DATA / "pulumi"
"""Pulumi's own folder, with its plugins: the user's stays as it is."""

PASSPHRASE = DATA / "passphrase"
"""The file with what Pulumi encrypts the secrets of this platform's stacks with."""

_TOOLS = ("kubectl", "pulumi", "pulumi-language-python", "pulumi-language-python-exec")

# Debian's, which has BuildKit in itself: a newer client on PATH may lack its buildx component.
_DOCKER = Path("/usr/bin/docker")


def variables() -> dict[str, str]:
    """Variables for programs that use the platform, PATH excepted."""
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
    """Put a program into a folder.

    Pulumi looks for its language host beside itself, behind all symbolic links, and warns at each
    command of one that it finds elsewhere.
    """
    if target.exists() and target.samefile(program):
        return
    new = target.with_name(f".{target.name}")
    new.unlink(missing_ok=True)
    try:
        new.hardlink_to(program)
    except OSError:
        # The cache is on another volume; the times tell the next `up` that it is the same file.
        if target.exists() and _looks_equal(program, target):
            return
        shutil.copy2(program, new)
    new.rename(target)


def _looks_equal(one: Path, other: Path) -> bool:
    first, second = one.stat(), other.stat()
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)
