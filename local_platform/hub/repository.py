"""Reads models from folders: their files, the files' digests, and their commits.

A model is a folder that holds `config.json`: `ROOT/name` is served as `name`, and
`ROOT/namespace/name` as `namespace/name`. Not served are names that begin with a dot,
`__pycache__` (it differs between machines, and the commit must not), names with characters that
are not printable, symbolic links, and everything else that is neither a folder nor a regular file.

Names that a client sends are only looked up among those that the folders hold. No path is built
from them, so none can lead out of the root.
"""

import contextlib
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.exceptions import HTTPException

from local_platform.errors import PlatformError

DEFAULT_REVISION = "main"

# The hub refuses larger files outside of Git LFS, and keeps these kinds there at any size.
_LFS_BYTES = 10 * 1024 * 1024
_LFS_SUFFIXES = (".safetensors", ".bin")

# A write within one tick of the file system's clock leaves the times unchanged. A digest is
# remembered only for a file that was last changed this long before it was read. Two seconds is
# the coarsest clock in use (FAT), and what git allows for in its own index.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """A file of a model, as it is on disk and as the hub describes it.

    Attributes:
        location: Its path on disk.
        version: The facts that tell this version of it from another without reading it.
        size: Size in bytes.
        sha256: SHA-256 of the content, in hex.
        blob_id: Id of the git blob that the hub would keep, in hex: SHA-1 over `blob`, space, size,
            NUL and the content, which for a file in Git LFS is that of its pointer.
        pointer_size: Size in bytes of the Git LFS pointer; None for a file that git itself keeps.
    """

    location: Path
    version: tuple[int, ...]
    size: int
    sha256: str
    blob_id: str
    pointer_size: int | None

    @property
    def etag(self) -> str:
        """The hub's entity tag, without quotes: SHA-256 in Git LFS, else the git blob's id."""
        return self.blob_id if self.pointer_size is None else self.sha256


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSnapshot:
    """A model at one commit.

    Attributes:
        repo_id: The model's name, with its namespace if it has one.
        commit: The hash of its files.
        files: Its files by path, with slashes, in the order of the paths' bytes.
    """

    repo_id: str
    commit: str
    files: Mapping[str, ModelFile]


def _content_id(files: Mapping[str, ModelFile]) -> str:
    """Return an id of sorted files by their content, the same on every machine.

    The id is the first 40 hex digits of the SHA-256 over one record a file, in the order of the
    paths' UTF-8 bytes: path, NUL, size in decimal, NUL, SHA-256 of the content in lower-case hex,
    line feed. It is as long as a git commit, because clients expect that of a revision.
    """
    digest = hashlib.sha256()
    for path, file in files.items():
        digest.update(f"{path}\0{file.size}\0{file.sha256}\n".encode())
    return digest.hexdigest()[:40]


def refusal(
    message: str,
    *,
    code: str,
    status: HTTPStatus = HTTPStatus.NOT_FOUND,
    headers: Mapping[str, str] | None = None,
) -> HTTPException:
    """Return the refusal of a client's request, with the hub's own code for the error."""
    return HTTPException(status, message, {"X-Error-Code": code, **(headers or {})})


class Catalogue:
    """The models under a root. Folders are read at every call; only digests are remembered.

    Args:
        root: The folder whose models are served.

    Raises:
        PlatformError: The root is not a folder, or holds no model.
    """

    def __init__(self, root: Path) -> None:
        try:
            self._root = root.resolve(strict=True)
            found = self._folders()
        except OSError as exc:
            raise PlatformError(
                f"--root {root}: {exc.strerror}; give a folder that holds models"
            ) from exc
        if not found:
            hint = (
                "it is a model itself, so give the folder above it"
                if (root / "config.json").is_file()
                else "a model is a folder with a config.json, at NAME or NAMESPACE/NAME"
            )
            raise PlatformError(f"--root {root}: holds no model; {hint}")
        self._remembered: dict[Path, ModelFile] = {}
        self._digesting = threading.Lock()

    def repo_ids(self) -> list[str]:
        """Return the models' names, sorted."""
        return sorted(self._folders())

    def snapshot(self, repo_id: str, revision: str = DEFAULT_REVISION) -> ModelSnapshot:
        """Read a model as it is on disk now.

        Args:
            repo_id: The model's name.
            revision: `main`, or the commit that the model has.

        Raises:
            HTTPException: There is no such model, or its content has another commit.
            PlatformError: A file cannot be read.
        """
        folder = self._folders().get(repo_id)
        if folder is None:
            raise refusal(f"no model '{repo_id}' here", code="RepoNotFound")
        try:
            found = sorted(_served_below(folder), key=str.encode)
            files = {path: self._file(folder / path) for path in found}
        except OSError as exc:
            name = Path(exc.filename).name if exc.filename else "a file"
            raise PlatformError(f"{repo_id}: {name} cannot be read: {exc.strerror}") from exc
        commit = _content_id(files)
        if revision not in (DEFAULT_REVISION, commit):
            raise refusal(
                f"{repo_id} has no revision '{revision}'; it has {DEFAULT_REVISION}, {commit}",
                code="RevisionNotFound",
            )
        return ModelSnapshot(repo_id=repo_id, commit=commit, files=files)

    def _folders(self) -> dict[str, Path]:
        """Return the models' folders by name."""
        found = {}
        for top in _folders_in(self._root):
            # The root of an ext4 volume has a lost+found that only root may look into.
            with contextlib.suppress(PermissionError):
                if _is_model(top):
                    found[top.name] = top
                else:
                    below = filter(_is_model, _folders_in(top))
                    found |= {f"{top.name}/{folder.name}": folder for folder in below}
        return found

    def _file(self, location: Path) -> ModelFile:
        """Digest a file, or recall its digests.

        A file that is written meanwhile gets digests that no version has. They are not recalled
        for the next request, because its version is another one by then.

        Raises:
            OSError: It cannot be read.
        """
        # One at a time: clients that ask for the same file at once must not all digest it.
        with self._digesting:
            status = location.lstat()
            known = self._remembered.get(location)
            if known and known.version == _version_of(status):
                return known
            settled = time.time_ns() - status.st_ctime_ns > _SETTLED_NS
            lfs = location.name.endswith(_LFS_SUFFIXES) or status.st_size > _LFS_BYTES
            file = _digested(location, status, lfs=lfs)
            if settled:
                self._remembered[location] = file
            return file


def _version_of(status: os.stat_result) -> tuple[int, ...]:
    """Return the facts that tell one version of a file on disk from another.

    The change time is one of them because a copy that keeps modification times (`cp -p`,
    `rsync -t`) can replace bytes and leave size, modification time and inode as they were.
    """
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digested(location: Path, status: os.stat_result, *, lfs: bool) -> ModelFile:
    with location.open("rb", buffering=0) as stream:
        if lfs:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            # The pointer file, as git-lfs's docs/spec.md lays it down.
            content = (
                "version https://git-lfs.github.com/spec/v1\n"
                f"oid sha256:{sha256}\nsize {status.st_size}\n"
            ).encode()
        else:
            content = stream.readall()
            sha256 = hashlib.sha256(content).hexdigest()
    blob = b"blob %d\0" % len(content) + content
    return ModelFile(
        location=location,
        version=_version_of(status),
        size=status.st_size,
        sha256=sha256,
        blob_id=hashlib.sha1(blob, usedforsecurity=False).hexdigest(),
        pointer_size=len(content) if lfs else None,
    )


def _folders_in(parent: Path) -> list[Path]:
    return [
        path
        for path in parent.iterdir()
        if _is_served(path.name) and path.is_dir() and not path.is_symlink()
    ]


def _served_below(folder: Path) -> Iterator[str]:
    """Yield the path of each served file of a model."""
    for here, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = filter(_is_served, folders)
        for path in (Path(here, name) for name in names if _is_served(name)):
            # A link may lead anywhere.
            if stat.S_ISREG(path.lstat().st_mode):
                yield path.relative_to(folder).as_posix()


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _is_served(name: str) -> bool:
    # Not printable are also the bytes of a name that is not UTF-8, which JSON cannot hold.
    return not name.startswith(".") and name != "__pycache__" and name.isprintable()


def _raise(error: OSError) -> None:
    raise error
