"""The packages of the project's own images, for builds that reach no package index.

Containers of a build do not have the machine's configuration of pip, nor its CAs. So the machine
itself downloads the wheels, once, and they are handed to builds as an image.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from local_platform import settings
from local_platform.addons.cached_layer import LAYER_FILE, cached_layer, published
from local_platform.addons.oci import Layer, RunConfig, pack_files
from local_platform.addons.registry import RegistryClient
from local_platform.errors import PlatformError

_LOCKS: Final = tuple(
    Path(__file__).parents[2] / "requirements" / f"{name}.lock"
    for name in ("client", "server", "triton", "weights")
)
_REPOSITORY: Final = "platform/wheels"

# The Python and the C library of the base image, whatever this machine runs. pip takes each
# platform literally: an older one has to be named too.
_TARGET: Final = (
    "--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none",
    *(f"--platform=manylinux{version}_x86_64"
      for version in ("_2_36", "_2_35", "_2_34", "_2_31", "_2_28", "_2_27", "_2_26", "_2_24",
                      "_2_17", "2014", "2010", "1")),
)  # fmt: skip


def wheels_image(report: Callable[[str], None], address: str = settings.REGISTRY) -> str:
    """The name by digest of an image with every wheel; the wheels are downloaded at first.

    Args:
        report: Told of each step of what takes long.
        address: The registry's host and port.

    Returns:
        What `WHEELS_IMAGE` of the project's Dockerfiles is set to.

    Raises:
        PlatformError: A wheel cannot be had, has another hash than its lock says, or the registry
            fails.
    """
    key = hashlib.sha256(b"".join(lock.read_bytes() for lock in _LOCKS)).hexdigest()[:16]
    digest = published(
        RegistryClient(address),
        _REPOSITORY,
        key,
        lambda: cached_layer(
            settings.cache() / "wheels" / key, lambda folder: _make(folder, report)
        ),
        RunConfig(user="0:0"),
    )
    return f"{address}/{_REPOSITORY}@{digest}"


def _make(folder: Path, report: Callable[[str], None]) -> Layer:
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
    files = {path.name: path for path in sorted(wheels.iterdir())}
    layer = pack_files(folder / LAYER_FILE, files, executables=())
    for path in files.values():
        path.unlink()
    wheels.rmdir()
    return layer
