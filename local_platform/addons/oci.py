"""Writes container images of one layer without an engine.

A file system that is one program, or a tree that exists already, needs no build: the layer is a
tar file, and its two documents are a few lines of JSON. Equal content gives equal bytes, so an
image that did not change keeps its digest and no pod is replaced for it.

The formats are those of the OCI image specification, https://github.com/opencontainers/image-spec.
"""

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_platform.toolchain.pins import architecture

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"

_EPOCH = "1970-01-01T00:00:00Z"
_CHUNK = 1 << 20
_LEVEL = 1  # A layer only travels over the loopback, so time counts for more than size.


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
class PackedImage:
    """An image ready to be pushed: its layer, and its two documents as they are stored."""

    layer: Layer
    config: bytes
    manifest: bytes


def pack_files(target: Path, files: Mapping[str, Path], executables: Collection[str]) -> Layer:
    """Write a layer of single files that belong to root and have no times.

    Args:
        target: The layer's file.
        files: Path inside the image, without the leading slash, to the file on this machine.
        executables: Those of the paths inside that can be run.

    Raises:
        OSError: A file cannot be read, or the layer cannot be written.
    """
    tar = target.with_suffix(".tar")
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as archive:
        folders = {str(parent) for name in files for parent in Path(name).parents} - {"."}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, source in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = source.stat().st_size
            entry.mode = 0o755 if name in executables else 0o644
            with source.open("rb") as content:
                archive.addfile(entry, content)
    return pack_tar(target, tar)


def pack_tar(target: Path, tar: Path) -> Layer:
    """Write a tar file as a layer, and delete the tar file.

    Raises:
        OSError: The layer cannot be written.
    """
    # Neither name nor time: they would make two packings of one file differ.
    with (
        tar.open("rb") as source,
        target.open("wb") as file,
        gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packing,
    ):
        shutil.copyfileobj(source, packing, _CHUNK)
    layer = Layer(
        path=target, digest=_file_digest(target), size=target.stat().st_size,
        diff_id=_file_digest(tar),
    )  # fmt: skip
    tar.unlink()
    return layer


def image_of(layer: Layer, run: Mapping[str, object]) -> PackedImage:
    """Return the image whose only layer this is, for this machine's architecture.

    Args:
        layer: The layer.
        run: The specification's `config`: how a container of the image is started. Its user is in
            numbers, because Kubernetes cannot tell of a name that it is not root.
    """
    config = _document(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": _EPOCH,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
            "history": [{"created": _EPOCH, "created_by": "ft-serving local_platform"}],
        }
    )
    described = {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)}
    manifest = _document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": described,
            "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size}],
        }
    )
    return PackedImage(layer=layer, config=config, manifest=manifest)


def digest_of(data: bytes) -> str:
    """Return the digest by which a registry knows these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _document(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
