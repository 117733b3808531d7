"""Models at a commit, which their content decides.

Names that come from outside are only ever looked up among those that the folders hold; no path is
built from them, so that none can lead out of the root.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from typing import TypeVar

from local_platform.errors import FileChangedError, PlatformError, RefusedRequestError
from local_platform.hub.digests import DigestCache, Digests, FileVersion, open_version
from local_platform.hub.folders import model_folders, served_files

DEFAULT_REVISION = "main"

# The hub refuses larger files outside of Git LFS, and keeps these kinds there at any size.
_LFS_BYTES = 10 * 1024 * 1024
_LFS_SUFFIXES = (".safetensors", ".bin")

# A folder into which a model is being copied settles between two looks, or the client is told to
# come back.
_ATTEMPTS = 3

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """One file of a model.

    Attributes:
        path: path in the model, with slashes.
        location: path on disk, free of symbolic links.
        version: the version on disk that the digests belong to.
        digests: what the hub tells of its content.
    """

    path: str
    location: str
    version: FileVersion
    digests: Digests

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.version.size

    @property
    def etag(self) -> str:
        """The hub's entity tag, without quotes: SHA-256 in Git LFS, else the git blob's id."""
        return self.digests.blob_id if self.digests.pointer_size is None else self.digests.sha256


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSnapshot:
    """A model at one commit.

    Attributes:
        repo_id: the model's name, with its namespace if it has one.
        commit: `content_id` of its files.
        files: its files by path, in the order of their paths.
    """

    repo_id: str
    commit: str
    files: Mapping[str, ModelFile]


def content_id(files: Iterable[tuple[str, int, str]]) -> str:
    """Name a set of files by its content, the same on every machine.

    The id is the first 40 hex digits of the SHA-256 over one record a file, in the order of the
    paths' UTF-8 bytes: path, NUL, size in decimal, NUL, SHA-256 of the content in lower-case hex,
    line feed.

    Args:
        files: path, size in bytes and SHA-256 of each file.

    Returns:
        40 hex digits, as long as a git commit, which is what clients expect of a revision.
    """
    digest = hashlib.sha256()
    for path, size, sha256 in sorted(files, key=lambda file: file[0].encode()):
        digest.update(f"{path}\0{size}\0{sha256}\n".encode())
    return digest.hexdigest()[:40]


def entry_not_found(message: str, commit: str) -> RefusedRequestError:
    """Return the error that a model of a commit has no such file or folder.

    huggingface_hub remembers by the commit that the file does not exist.
    """
    return RefusedRequestError(
        HTTPStatus.NOT_FOUND, message, code="EntryNotFound", headers={"X-Repo-Commit": commit}
    )


class Catalogue:
    """The models under a root, read anew at every call; digests alone are remembered.

    Args:
        root: the folder whose models are served.

    Raises:
        PlatformError: the root is not a folder, or holds no model.
    """

    def __init__(self, root: Path) -> None:
        try:
            self._root = root.resolve(strict=True)
            folders = model_folders(self._root)
        except OSError as exc:
            raise PlatformError(
                f"--root {root}: {exc.strerror}; give a folder that holds models"
            ) from exc
        if not folders:
            hint = (
                "it is a model itself, so give the folder above it"
                if (root / "config.json").is_file()
                else "a model is a folder with a config.json, at NAME or NAMESPACE/NAME"
            )
            raise PlatformError(f"--root {root}: holds no model; {hint}")
        self._digests = DigestCache()

    def repo_ids(self) -> list[str]:
        """Names of the models, sorted."""
        return sorted(model_folders(self._root))

    def snapshot(self, repo_id: str, revision: str = DEFAULT_REVISION) -> ModelSnapshot:
        """Read a model as it is on disk now.

        Args:
            repo_id: the model's name.
            revision: `main`, or the commit that the model has.

        Raises:
            RefusedRequestError: there is no such model, its content has another commit, or its
                files are being written or cannot be read.
        """
        return self._until_unchanged(repo_id, lambda: self._read(repo_id, revision))

    def open(
        self, repo_id: str, revision: str, path: str
    ) -> tuple[ModelSnapshot, ModelFile, FileIO]:
        """Open a file of a model, at exactly the version that the snapshot describes.

        Args:
            repo_id: the model's name.
            revision: `main`, or the commit that the model has.
            path: the file's path in the model.

        Returns:
            The snapshot, the file, and its bytes as an unbuffered stream that the caller closes.

        Raises:
            RefusedRequestError: the model has no such file, or as `snapshot` has it.
        """

        def attempt() -> tuple[ModelSnapshot, ModelFile, FileIO]:
            snapshot = self._read(repo_id, revision)
            file = snapshot.files.get(path)
            if file is None:
                raise entry_not_found(
                    f"{repo_id} has no file '{path}' at revision '{revision}'", snapshot.commit
                )
            return snapshot, file, open_version(file.location, file.version)

        return self._until_unchanged(repo_id, attempt)

    def _until_unchanged(self, repo_id: str, attempt: Callable[[], _Result]) -> _Result:
        for _ in range(_ATTEMPTS):
            try:
                return attempt()
            except (FileChangedError, FileNotFoundError, NotADirectoryError):
                continue
            except OSError as exc:
                name = Path(exc.filename).name if exc.filename else "a file"
                raise RefusedRequestError(
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    f"{repo_id}: {name} cannot be read: {exc.strerror}",
                ) from exc
        raise RefusedRequestError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{repo_id}: its files are being written; try again",
            headers={"Retry-After": "5"},
        )

    def _read(self, repo_id: str, revision: str) -> ModelSnapshot:
        folder = model_folders(self._root).get(repo_id)
        if folder is None:
            raise RefusedRequestError(
                HTTPStatus.NOT_FOUND, f"no model '{repo_id}' here", code="RepoNotFound"
            )
        found = sorted(served_files(folder, self._root), key=lambda file: file.path.encode())
        files = {
            file.path: ModelFile(
                path=file.path,
                location=file.location,
                version=file.version,
                digests=self._digests.digests(
                    file.location, file.version, lfs=_is_lfs(file.path, file.version.size)
                ),
            )
            for file in found
        }
        commit = content_id((file.path, file.size, file.digests.sha256) for file in files.values())
        if revision not in (DEFAULT_REVISION, commit):
            raise RefusedRequestError(
                HTTPStatus.NOT_FOUND,
                f"{repo_id} has no revision '{revision}'; it has {DEFAULT_REVISION}, {commit}",
                code="RevisionNotFound",
            )
        return ModelSnapshot(repo_id=repo_id, commit=commit, files=files)


def _is_lfs(path: str, size: int) -> bool:
    return size > _LFS_BYTES or path.endswith(_LFS_SUFFIXES)
