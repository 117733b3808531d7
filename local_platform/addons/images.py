"""The images of the programs that run in pods: one static program on an empty file system."""

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_platform import settings
from local_platform.addons.oci import RunConfig, image_of, pack_files
from local_platform.addons.registry import RegistryClient
from local_platform.errors import PlatformError

_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_USER: Final = "65532:65532"
_RECIPE: Final = b"1"
"""Part of every tag: to be changed with what is around the program in an image."""


@dataclass(frozen=True, kw_only=True)
class ProgramImage:
    """An image of one program.

    Attributes:
        name: Its repository is `platform/NAME`.
        program: The program on this machine.
        arguments: What it is started with, unless a pod says otherwise.
        certificates: Whether it speaks TLS to hosts on the internet, and needs the machine's CAs.
        alias: A fixed tag beside that of the content.
    """

    name: str
    program: Path
    arguments: tuple[str, ...] = ()
    certificates: bool = False
    alias: str | None = None

    @property
    def repository(self) -> str:
        """Its name inside the registry."""
        return f"platform/{self.name}"


def push_all(
    images: list[ProgramImage], report: Callable[[str], None], address: str = settings.REGISTRY
) -> dict[str, str]:
    """Have every image in the registry; those that it has already are not made again.

    Args:
        images: What is wanted.
        report: Told of each image that is made.
        address: The registry's host and port.

    Returns:
        The image reference by digest, by the image's name.

    Raises:
        PlatformError: A program cannot be read, or the registry fails.
    """
    registry = RegistryClient(address)

    def push(image: ProgramImage) -> str:
        digest = _push_once(registry, image, report)
        return f"{address}/{image.repository}@{digest}"

    # Hashing and packing leave the interpreter's lock, so that two cores do twice the work.
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip((image.name for image in images), pool.map(push, images), strict=True))


def _push_once(registry: RegistryClient, image: ProgramImage, report: Callable[[str], None]) -> str:
    files = {image.program.name: image.program}
    environment = {}
    if image.certificates:
        files[str(_CERTIFICATES.relative_to("/"))] = _CERTIFICATES
        environment["SSL_CERT_FILE"] = str(_CERTIFICATES)
    try:
        tag = _content_hash(files)
        digest = registry.digest(image.repository, tag)
        named = image.alias is None or registry.digest(image.repository, image.alias) == digest
        if digest is not None and named:
            return digest
        report(f"image {image.name}: {image.program.stat().st_size / 1e6:.0f} MB")
        with tempfile.TemporaryDirectory(prefix="ft-serving-image-") as folder:
            layer = pack_files(Path(folder) / "layer.tar.gz", files, [image.program.name])
            run = RunConfig(
                user=_USER,
                entrypoint=(f"/{image.program.name}", *image.arguments),
                environment=environment,
            )
            packed = image_of(layer, run)
            # The tag of the content comes last: it is what says that the image is complete.
            if image.alias is not None:
                registry.push(image.repository, image.alias, packed)
            return registry.push(image.repository, tag, packed)
    except OSError as exc:
        raise PlatformError(f"the image {image.name} could not be made: {exc}") from exc


def _content_hash(files: dict[str, Path]) -> str:
    key = hashlib.sha256(_RECIPE)
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            key.update(f"{name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return key.hexdigest()[:16]
