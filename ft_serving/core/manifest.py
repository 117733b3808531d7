"""The manifest: the file that is written last and makes a release valid."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, get_type_hints

from ft_serving.core.dtypes import DType
from ft_serving.core.errors import ReleaseError
from ft_serving.core.families import FAMILIES
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.files import absolute
from ft_serving.core.protocol import MODEL_NAME, MODEL_VERSION
from ft_serving.core.release import ReleaseFormat, ReleaseSpec

_T = TypeVar("_T")

MANIFEST_VERSION = 2

WEIGHTS_PATH = PurePosixPath(MODEL_NAME, MODEL_VERSION)
"""The folder of the weights and of what says how to read them, below the release's."""

MANIFEST_PATH = WEIGHTS_PATH / "manifest.json"
CONFIG_INI_PATH = WEIGHTS_PATH / "config.ini"
CONFIG_PBTXT_PATH = PurePosixPath(MODEL_NAME, "config.pbtxt")


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file that a release was made from.

    Attributes:
        name: Below the repository's root.
        size: Bytes.
        digest: Of its content: "sha256:…", or "git-blob:…" for the hub's small files.
        mtime_ns: Of a local file, when it was read; none for the hub's.
    """

    name: str
    size: int
    digest: str
    mtime_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseFile:
    """A file of a release: its path below the release's folder, bytes and sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The record of a release: its settings, its source, and every file that it consists of.

    Attributes:
        spec: The settings that decided its bytes.
        family: The model's family, by its name in config.json.
        architecture: The model's numbers.
        origin: The hub's address, or the local folder.
        source: The files it was made from.
        created: When, in UTC, ISO 8601.
        files: Every file but the manifest.
    """

    spec: ReleaseSpec
    family: str
    architecture: Architecture
    origin: str
    source: tuple[SourceFile, ...]
    created: str
    files: tuple[ReleaseFile, ...]

    def to_json(self) -> str:
        """Return the manifest's text."""
        document = {
            "manifest_version": MANIFEST_VERSION,
            "release": self.spec.name,
            **asdict(self),
            "spec": self.spec.settings(),
        }
        return json.dumps(document, indent=1) + "\n"

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def read_manifest(release: Path) -> Manifest:
    """Read the manifest of a release's folder.

    Raises:
        ReleaseError: There is none, it is damaged, or another version wrote it.
    """
    path = release / MANIFEST_PATH
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as exc:
        raise ReleaseError(
            f"{release}: has no {MANIFEST_PATH}, so it is no release, or one that was never "
            "finished. Name the folder below triton-model-store, or prepare it again."
        ) from exc
    except (OSError, ValueError, RecursionError) as exc:
        raise ReleaseError(f"{path}: cannot be read: {exc}. Prepare the release again.") from exc
    version = document.get("manifest_version") if isinstance(document, dict) else None
    if version != MANIFEST_VERSION:
        raise ReleaseError(
            f"{path}: is of manifest version {version}; this program reads version "
            f"{MANIFEST_VERSION}. Prepare the release again with this program."
        )
    try:
        manifest, named = _parse(document), document["release"]
    except (KeyError, TypeError, ValueError) as exc:
        raise ReleaseError(
            f"{path}: is damaged ({type(exc).__name__}: {exc}). Prepare the release again."
        ) from exc
    # By a link's own name, too: a release may have been moved to another disk, and linked.
    lies_in = (absolute(release).name, release.resolve().name)
    if named != manifest.spec.name or named not in lies_in:
        raise ReleaseError(
            f"{path}: describes release {named}, its settings give "
            f"{manifest.spec.name}, and it lies in {lies_in[0]}. "
            "Prepare the release again."
        )
    return manifest


def _parse(document: Mapping[str, Any]) -> Manifest:
    # `ReleaseSpec.settings` leaves these out.
    omitted = {"format": "fastertransformer", "tensor_parallel": 1, "pipeline_parallel": 1}
    spec = omitted | document["spec"]
    for key, kind in (("dtype", DType), ("compute_dtype", DType), ("format", ReleaseFormat)):
        spec[key] = kind(spec[key])
    family = FAMILIES[document["family"]]
    files = tuple(_typed(ReleaseFile, file) for file in document["files"])
    for file in files:
        relative = PurePosixPath(file.path)
        if relative.is_absolute() or ".." in relative.parts or b"\0" in os.fsencode(file.path):
            raise ValueError(f"impossible file {file.path!r}")
    text = {key: document[key] for key in ("origin", "created")}
    if not all(isinstance(value, str) for value in text.values()):
        raise TypeError(f"{text} must be words")
    return Manifest(
        spec=_typed(ReleaseSpec, spec),
        family=family.model_type,
        architecture=_typed(family.architecture, document["architecture"]),
        source=tuple(_typed(SourceFile, file) for file in document["source"]),
        files=files,
        origin=text["origin"],
        created=text["created"],
    )


def _typed(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """Return a dataclass of what JSON holds, whose types nothing has checked."""
    types = get_type_hints(kind)
    for name, value in dict(values).items():
        if not isinstance(value, types[name]):
            raise TypeError(f"{name} is {value!r}")
    return kind(**values)
