"""Has the platform's images in its registry: those of programs, and those that take long to make.

The image of a program that runs in pods is one static program on an empty file system.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from local_platform import settings
from local_platform.addons.oci import Layer, image_of, pack_files
from local_platform.addons.registry import RegistryClient
from local_platform.errors import PlatformError
from local_platform.settings import Report

CURRENT: Final = "current"
"""The tag beside that of the content: a name for people and stacks that does not change."""

LAYER_FILE: Final = "layer.tar.gz"

_FACTS: Final = "layer.json"
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_USER: Final = "65532:65532"
_RECIPE: Final = b"1"
"""A part of every program's tag; change it with the rest of what is in such an image."""


@dataclass(frozen=True, kw_only=True)
class ProgramImage:
    """An image of one program.

    Attributes:
        name: Its repository is `platform/NAME`.
        program: The program on this machine.
        certificates: Whether it speaks TLS to hosts on the internet, and needs the machine's CAs.
        alias: A fixed tag beside that of the content.
    """

    name: str
    program: Path
    certificates: bool = False
    alias: str | None = None


def push_all(
    images: list[ProgramImage], report: Report, address: str = settings.REGISTRY
) -> dict[str, str]:
    """Push every image that the registry lacks; return their references by digest, by their names.

    Raises:
        PlatformError: A program cannot be read, or the registry fails.
    """
    # Hashing and packing leave the interpreter's lock, so that two cores do twice the work.
    with ThreadPoolExecutor(max_workers=4) as pool:
        references = pool.map(lambda image: _push(image, report, address), images)
        return dict(zip((image.name for image in images), references, strict=True))


def _push(image: ProgramImage, report: Report, address: str) -> str:
    name = image.program.name
    files = {name: image.program}
    environment = []
    if image.certificates:
        files[str(_CERTIFICATES.relative_to("/"))] = _CERTIFICATES
        environment = [f"SSL_CERT_FILE={_CERTIFICATES}"]

    def pack(folder: Path) -> Layer:
        report(f"image {image.name}: {image.program.stat().st_size / 1e6:.0f} MB")
        return pack_files(folder / LAYER_FILE, files, [name])

    try:
        with tempfile.TemporaryDirectory(prefix="ft-serving-image-") as folder:
            return _published(
                f"platform/{image.name}",
                _content_hash(files),
                image.alias,
                lambda: pack(Path(folder)),
                {"User": _USER, "Entrypoint": [f"/{name}"], "Env": environment},
                address,
            )
    except OSError as exc:
        raise PlatformError(f"the image {image.name} could not be made: {exc}") from exc


def _content_hash(files: dict[str, Path]) -> str:
    key = hashlib.sha256(_RECIPE)
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            key.update(f"{name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return key.hexdigest()[:16]


def cached_image(
    repository: str,
    folder: Path,
    make: Callable[[Path], Layer],
    run: Mapping[str, object],
    address: str,
) -> str:
    """Have an image in the registry whose layer is made once and then kept in the cache.

    Args:
        repository: Its name in the registry.
        folder: The layer's folder in the cache, whose name stands for all that decides the content.
            It exists only when it is whole.
        make: Writes `LAYER_FILE` into the folder that it is given, and leaves nothing else there.
        run: How containers of it are started: see `image_of`.
        address: The registry's host and port.

    Returns:
        The image reference by digest.

    Raises:
        PlatformError: The layer cannot be made or written, or the registry fails.
    """

    def layer() -> Layer:
        if not folder.exists():
            try:
                _fill(folder, make)
            except OSError as exc:
                raise PlatformError(f"{folder} could not be written: {exc}") from exc
        return Layer(path=folder / LAYER_FILE, **json.loads((folder / _FACTS).read_text()))

    return _published(repository, folder.name, CURRENT, layer, run, address)


def _fill(folder: Path, make: Callable[[Path], Layer]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        facts = asdict(make(making))
        del facts["path"]
        (making / _FACTS).write_text(json.dumps(facts))
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _published(
    repository: str,
    tag: str,
    alias: str | None,
    layer: Callable[[], Layer],
    run: Mapping[str, object],
    address: str,
) -> str:
    registry = RegistryClient(address)
    digest = registry.digest(repository, tag)
    if digest is None or (alias and registry.digest(repository, alias) != digest):
        image = image_of(layer(), run)
        # The tag of the content comes last, because it says that the image is complete.
        if alias:
            registry.push(repository, alias, image)
        digest = registry.push(repository, tag, image)
    return f"{address}/{repository}@{digest}"
