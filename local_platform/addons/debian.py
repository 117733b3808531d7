"""The base of the project's own images, made of Debian packages where no hub can be reached.

What the images expect of it stands in docs/images.md: Python with `venv` and its shared library,
and the CA certificates.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from local_platform import settings
from local_platform.addons.cached_layer import LAYER_FILE, cached_layer, published
from local_platform.addons.oci import Layer, LayerWriter, RunConfig
from local_platform.addons.registry import RegistryClient
from local_platform.errors import PlatformError

_SUITE: Final = "bookworm"
_PACKAGES: Final = ("ca-certificates", "libpython3.11", "python3", "python3-venv")
_REPOSITORY: Final = "platform/debian"

# What a container does not use, and what would differ between two runs.
_LEFT_OUT: Final = (
    "./dev/*", "./proc/*", "./run/*", "./sys/*", "./tmp/*",
    "./etc/hostname", "./etc/resolv.conf",
    "./usr/share/doc/*", "./usr/share/locale/*", "./usr/share/man/*",
    "./var/cache/*", "./var/lib/apt/lists/*", "./var/log/*",
)  # fmt: skip
_CHUNK: Final = 1 << 20
_STAGES: Final = {
    "Retrieving InRelease": "asking the mirror",
    "Resolving dependencies": "choosing packages",
    "Extracting dpkg": "unpacking packages",
    "Installing core packages": "installing core packages",
    "Configuring required packages": "configuring required packages",
    "Unpacking the base system": "unpacking Python",
    "Configuring the base system": "configuring Python",
}


def base_image(report: Callable[[str], None], address: str = settings.REGISTRY) -> str:
    """The base image's name by digest; it is made at first, which takes one to two minutes.

    Args:
        report: Told of each step of what takes long.
        address: The registry's host and port.

    Returns:
        What `BASE_IMAGE` of the project's Dockerfiles is set to.

    Raises:
        PlatformError: debootstrap failed or is missing, the disk is full, or the registry fails.
    """
    key = _key()
    digest = published(
        RegistryClient(address),
        _REPOSITORY,
        key,
        lambda: cached_layer(settings.cache() / "base" / key, lambda folder: _make(folder, report)),
        RunConfig(
            user="0:0",
            command=("bash",),
            environment={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        ),
    )
    return f"{address}/{_REPOSITORY}@{digest}"


def _key() -> str:
    pins = json.dumps([_SUITE, _PACKAGES, _LEFT_OUT])
    return hashlib.sha256(pins.encode()).hexdigest()[:16]


def _make(folder: Path, report: Callable[[str], None]) -> Layer:
    root = folder / "root"
    _debootstrap(root, report)
    report("base image: packing it")
    with LayerWriter(folder / LAYER_FILE) as writer:
        _archive(root, writer)
    shutil.rmtree(root)
    return writer.layer()


def _debootstrap(root: Path, report: Callable[[str], None]) -> None:
    # In a mount namespace of its own: what debootstrap mounts goes with it, even when it is killed.
    command = ["unshare", "--mount", "--propagation=private", "--",
               "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
               _SUITE, str(root), _mirror()]  # fmt: skip
    report(f"base image: Debian {_SUITE} with Python, from {command[-1]}")
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            said.append(line.rstrip())
            stage = _STAGES.get(line.removeprefix("I: ").strip().removesuffix("..."))
            if stage is not None:
                report(f"base image: {stage}")
    if process.returncode != 0:
        last = "\n".join(said[-5:])
        raise PlatformError(
            f"debootstrap ended with status {process.returncode}; its last lines:\n{last}"
        )


def _mirror() -> str:
    """The mirror that this machine's apt takes the suite from: it is known to be reachable.

    Raises:
        PlatformError: apt takes the suite from nowhere.
    """
    asked = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)",
         "Created-By: Packages", f"Codename: {_SUITE}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    named = [uri for uri in asked.stdout.split() if uri.startswith(("http://", "https://"))]
    if not named:
        raise PlatformError(
            f"this machine's apt has no source for Debian {_SUITE}, of which the base image is "
            "made; add one to /etc/apt/sources.list and run `apt-get update`"
        )
    return named[0]


def _archive(root: Path, writer: LayerWriter) -> None:
    command = ["tar", "--create", "--directory", str(root), "--one-file-system", "--sort=name",
               "--numeric-owner", "--mtime=@0", "--xattrs", "--xattrs-include=security.capability",
               *(f"--exclude={pattern}" for pattern in _LEFT_OUT), "."]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:
        while tar.stdout and (chunk := tar.stdout.read(_CHUNK)):
            writer.write(chunk)
    if tar.returncode != 0:
        raise PlatformError(f"tar ended with status {tar.returncode}")
