"""The variables by which programs find the platform, and the folder of its command-line tools."""

import secrets
import shlex
from pathlib import Path

from local_platform.files import write_whole
from local_platform.settings import DATA, DOCKER_SOCKET, HUB_PORT, KUBECONFIG, STACKS
from local_platform.toolchain import Toolchain

BIN = DATA / "bin"
"""Command-line tools and provider plugins, for PATH."""

FILE = DATA / "env"
"""A shell reads it with `.`; nothing of it is set anywhere else."""

PASSPHRASE = DATA / "passphrase"
"""The file with what Pulumi encrypts the secrets of this platform's stacks with."""

_TOOLS = ("kubectl", "pulumi", "pulumi-language-python", "pulumi-language-python-exec")

# Debian's, which has BuildKit in itself: a newer client on PATH may lack its buildx component.
_DOCKER = Path("/usr/bin/docker")


def variables() -> dict[str, str]:
    """Variables for programs that use the platform, PATH excepted."""
    # The engine would try to download a plugin for every SDK beside them, at each command.
    stand_ins = any(BIN.glob("pulumi-resource-*"))
    return {
        "DOCKER_HOST": f"unix://{DOCKER_SOCKET}",
        "HF_ENDPOINT": f"http://127.0.0.1:{HUB_PORT}",
        "KUBECONFIG": str(KUBECONFIG),
        "PULUMI_BACKEND_URL": f"file://{STACKS}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(PASSPHRASE),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        **({"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"} if stand_ins else {}),
    }


def write(toolchain: Toolchain) -> None:
    """Put the tools in `BIN`, and the variables in `FILE`."""
    BIN.mkdir(parents=True, exist_ok=True)
    targets = {name: toolchain.tool(name) for name in _TOOLS} | {"docker": _DOCKER}
    for name, target in targets.items():
        link = BIN / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    if not PASSPHRASE.exists():
        # Whole or not at all: stacks encrypted with half of it could never be read with another.
        write_whole(PASSPHRASE, secrets.token_urlsafe(24).encode(), mode=0o600)
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables().items()]
    FILE.write_text(f'export PATH={shlex.quote(str(BIN))}:"$PATH"\n{"".join(lines)}')
