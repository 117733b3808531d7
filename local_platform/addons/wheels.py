"""Packs the packages of the project's own images into an image, for builds without an index.

Containers of a build do not have the machine's configuration of pip, nor its CAs. So the machine
itself downloads the wheels, once, and they are handed to builds as an image.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from local_platform import settings
from local_platform.addons.images import LAYER_FILE, cached_image
from local_platform.addons.oci import Layer, pack_files
from local_platform.errors import PlatformError
from local_platform.settings import Report

_LOCKS: Final = tuple(
    Path(__file__).parents[2] / "requirements" / f"{name}.lock"
    for name in ("client", "openai", "server", "triton", "weights")
)

# The Python and the C library of the base image, not those of this machine. pip takes each platform
# literally, so that the older ones have to be named, too.
_TARGET: Final = (
    "--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none",
    *(f"--platform=manylinux{version}_x86_64"
      for version in ("_2_36", "_2_35", "_2_34", "_2_31", "_2_28", "_2_27", "_2_26", "_2_24",
                      "_2_17", "2014", "2010", "1")),
)  # fmt: skip


def wheels_image(report: Report, address: str = settings.REGISTRY) -> str:
    """Return the name by digest of an image with every wheel, for `WHEELS_IMAGE` of Dockerfiles.

    The first call downloads the wheels.

    Raises:
        PlatformError: A wheel is not available, or has another hash than its lock says, or the
            registry fails.
    """
    key = hashlib.sha256(b"".join(lock.read_bytes() for lock in _LOCKS)).hexdigest()[:16]
    return cached_image(
        "platform/wheels",
        settings.cache() / "wheels" / key,
        lambda folder: _make(folder, report),
        {"User": "0:0"},
        address,
    )


def _make(folder: Path, report: Report) -> Layer:
    wheels = folder / "wheels"
    for lock in _LOCKS:
        report(f"wheels: downloading those of {lock.name}")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes", *_TARGET,
             f"--dest={wheels}", f"--requirement={lock}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise PlatformError(
                f"The wheels of {lock.name} cannot be downloaded:\n{done.stderr.strip()}\n"
                "Check the network and pip's index."
            )
    files = {path.name: path for path in wheels.iterdir()}
    layer = pack_files(folder / LAYER_FILE, files, executables=())
    shutil.rmtree(wheels)
    return layer
