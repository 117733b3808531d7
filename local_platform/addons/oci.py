"""Container images of one layer, written without an engine.

A file system that is one program, or a tree that exists already, needs no build: the layer is a
tar file, and its two documents are a few lines of JSON. Equal content gives equal bytes, so an
image that did not change keeps its digest and no pod is replaced for it.

The formats are those of the OCI image specification, https://github.com/opencontainers/image-spec.
"""

import gzip
import hashlib
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Self

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_EPOCH = "1970-01-01T00:00:00Z"
_CHUNK = 1 << 20
_LEVEL = 1  # A layer travels over the loopback alone, so time counts for more than size.


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A packed layer on disk.

    Attributes:
        path: The gzip file.
        digest: `sha256:` of the gzip file, by which registries keep it.
        size: Bytes of the gzip file.
        diff_id: `sha256:` of the tar file inside.
    """

    path: Path
    digest: str
    size: int
    diff_id: str


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a container of the image is started.

    Attributes:
        user: `uid:gid` in numbers: of a name, Kubernetes could not tell that it is not root.
        entrypoint: The program.
        command: The arguments, or a program where there is no entrypoint.
        environment: Variables.
    """

    user: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PackedImage:
    """An image ready to be pushed: its layer, and its two documents as they are stored."""

    layer: Layer
    config: bytes
    manifest: bytes


class LayerWriter:
    """Packs a tar stream into a layer and takes both digests on the way.

    Use it as a context manager around `write`, then ask for `layer`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tar_hash = hashlib.sha256()
        self._file = _HashingFile(path.open("wb"))
        # Neither name nor time: they would make two packings of one file differ.
        self._gzip = gzip.GzipFile(
            filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._file, mtime=0
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._gzip.close()
        self._file.close()

    def write(self, data: bytes) -> int:
        """Take the next bytes of the tar stream."""
        self._tar_hash.update(data)
        return self._gzip.write(data)

    def layer(self) -> Layer:
        """What was written, once the context has ended."""
        return Layer(
            path=self._path,
            digest=self._file.digest(),
            size=self._path.stat().st_size,
            diff_id=f"sha256:{self._tar_hash.hexdigest()}",
        )


def pack_files(target: Path, files: Mapping[str, Path], executables: Iterable[str]) -> Layer:
    """Write a layer of single files that belong to root and have no times.

    Args:
        target: Where the layer is written.
        files: Path inside the image, without the leading slash, to the file on this machine.
        executables: Those of the paths inside that can be run.

    Raises:
        OSError: A file cannot be read, or the layer cannot be written.
    """
    runnable = set(executables)
    with LayerWriter(target) as writer:
        for folder in sorted({str(parent) for name in files for parent in _parents(name)}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            writer.write(entry.tobuf(tarfile.GNU_FORMAT))
        for name, source in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = source.stat().st_size
            entry.mode = 0o755 if name in runnable else 0o644
            writer.write(entry.tobuf(tarfile.GNU_FORMAT))
            with source.open("rb") as content:
                while chunk := content.read(_CHUNK):
                    writer.write(chunk)
            writer.write(bytes(-entry.size % tarfile.BLOCKSIZE))
        writer.write(bytes(2 * tarfile.BLOCKSIZE))
    return writer.layer()


def image_of(layer: Layer, run: RunConfig) -> PackedImage:
    """The image whose only layer this is, for this machine's architecture."""
    machine = platform.machine()
    config = _document(
        {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "created": _EPOCH,
            "config": {
                "User": run.user,
                "Entrypoint": list(run.entrypoint),
                "Cmd": list(run.command),
                "Env": [f"{name}={value}" for name, value in sorted(run.environment.items())],
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
            "history": [{"created": _EPOCH, "created_by": "ft-serving local_platform"}],
        }
    )
    manifest = _document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE,
                "digest": digest_of(config),
                "size": len(config),
            },
            "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size}],
        }
    )
    return PackedImage(layer=layer, config=config, manifest=manifest)


def digest_of(data: bytes) -> str:
    """The digest that a registry knows these bytes by."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _HashingFile:
    """A file to be written that knows the digest of what it was given."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _parents(name: str) -> list[Path]:
    return [parent for parent in Path(name).parents if parent != Path()]


def _document(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
