"""Makes the base of the project's own images of Debian packages, where no hub can be reached.

docs/images.md says what the images expect of it: Python with `venv` and its shared library, and the
CA certificates.
"""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from local_platform import settings
from local_platform.addons.images import LAYER_FILE, cached_image
from local_platform.addons.oci import Layer, pack_tar
from local_platform.errors import PlatformError
from local_platform.settings import Report

_SUITE: Final = "bookworm"
_PACKAGES: Final = ("ca-certificates", "libpython3.11", "python3", "python3-venv")

# What a container does not use, and what would differ between two runs.
_LEFT_OUT: Final = (
    "./dev/*", "./proc/*", "./run/*", "./sys/*", "./tmp/*",
    "./etc/hostname", "./etc/resolv.conf",
    "./usr/share/doc/*", "./usr/share/locale/*", "./usr/share/man/*",
    "./var/cache/*", "./var/lib/apt/lists/*", "./var/log/*",
)  # fmt: skip


def base_image(report: Report, address: str = settings.REGISTRY) -> str:
    """Return the base image's name by digest, for `BASE_IMAGE` of the project's Dockerfiles.

    The first call makes the image, which takes one to two minutes.

    Raises:
        PlatformError: debootstrap failed or is missing, the disk is full, or the registry fails.
    """
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return cached_image(
        "platform/debian",
        settings.cache() / "base" / _key(),
        lambda folder: _make(folder, report),
        {"User": "0:0", "Cmd": ["bash"], "Env": [f"PATH={path}"]},
        address,
    )


def _key() -> str:
    pins = json.dumps([_SUITE, _PACKAGES, _LEFT_OUT])
    return hashlib.sha256(pins.encode()).hexdigest()[:16]


def _make(folder: Path, report: Report) -> Layer:
    root, tar = folder / "root", folder / "root.tar"
    mirror = _mirror()
    report(f"base image: Debian {_SUITE} with Python, from {mirror}")
    # In a mount namespace of its own: what debootstrap mounts goes with it, even when it is killed.
    _run("unshare", "--mount", "--propagation=private", "--",
         "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
         _SUITE, str(root), mirror)  # fmt: skip
    report("base image: packing it")
    _run("tar", "--create", f"--file={tar}", "--directory", str(root), "--one-file-system",
         "--sort=name", "--numeric-owner", "--mtime=@0", "--xattrs",
         "--xattrs-include=security.capability",
         *(f"--exclude={pattern}" for pattern in _LEFT_OUT), ".")  # fmt: skip
    shutil.rmtree(root)
    return pack_tar(folder / LAYER_FILE, tar)


def _run(*command: str) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-5:])
        raise PlatformError(
            f"the base image could not be made: {command[0]} ended with status {done.returncode}; "
            f"its last lines:\n{last}"
        )


def _mirror() -> str:
    """Return the mirror from which this machine's apt takes the suite, because it is reachable."""
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
