"""Sources of checkpoints: a folder on this machine, or a repository on a model hub."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

from ft_serving.core.files import absolute, flush
from ft_serving.core.hub.client import Hub, Snapshot, is_model_name
from ft_serving.core.hub.download import download, missing_bytes
from ft_serving.core.kinds import ADAPTER_CONFIG, kind_of_files
from ft_serving.core.manifest import SourceFile
from ft_serving.core.progress import Progress
from ft_serving.core.release import is_commit
from ft_serving.core.storage import Storage, source_name
from ft_serving.core.verify import file_sha256
from ft_serving.weights.checkpoint import select
from ft_serving.weights.errors import CheckpointError, WeightsError
from ft_serving.weights.folders import (
    CONFIG_JSON,
    dangling_links,
    model_name,
    names_in,
    which_instead,
)


class Source(ABC):
    """A checkpoint that a release can be made from.

    Attributes:
        repository: Its name.
        revision: Commit, or a hash of the files.
        origin: The hub's address, or the folder.
    """

    repository: str
    revision: str
    origin: str

    @abstractmethod
    def config_json(self) -> bytes:
        """Return the content of config.json."""

    @abstractmethod
    def missing_bytes(self) -> int:
        """Return the bytes that `fetched` has still to store."""

    @abstractmethod
    def fetched(self) -> AbstractContextManager[Path]:
        """Fetch and verify the files; keep other processes off them until the context ends."""

    @abstractmethod
    def files(self) -> tuple[SourceFile, ...]:
        """Return the files that were fetched, after a check that they are what was read.

        Raises:
            WeightsError: One has changed since.
            OSError: One cannot be kept by the disk.
        """


class LocalSource(Source):
    """A folder with a checkpoint and its config.json; it is read in place."""

    def __init__(
        self,
        folder: Path,
        known: Sequence[SourceFile],
        progress: Progress,
        companions: Sequence[str] = (),
    ) -> None:
        """Hash a folder's files, but for those known by the same name, size and time.

        The companions are files that belong to the checkpoint, too, if the folder has them.

        Raises:
            CheckpointError: The folder lacks a file, or one cannot be read.
        """
        self._folder = absolute(folder)
        try:
            self._files = self._hashed(self._chosen(progress, companions), known, progress)
        except OSError as exc:
            raise CheckpointError(
                f"{exc.filename or self._folder}: cannot be read: {exc.strerror}. Let the user "
                "who runs this read every file of the checkpoint."
            ) from exc
        self.repository = model_name(self._folder)
        self.origin = str(self._folder)
        listing = "".join(f"{file.digest} {file.name}\n" for file in self._files)
        self.revision = hashlib.sha256(listing.encode()).hexdigest()[:40]

    def config_json(self) -> bytes:
        """Read config.json."""
        return (self._folder / CONFIG_JSON).read_bytes()

    def missing_bytes(self) -> int:
        """Return 0: nothing is copied."""
        return 0

    def fetched(self) -> AbstractContextManager[Path]:
        """Give the folder as it is."""
        return nullcontext(self._folder)

    def files(self) -> tuple[SourceFile, ...]:
        """Return the files with their sha256, after a look at their sizes and times."""
        for file in self._files:
            stat = (self._folder / file.name).stat()
            if (stat.st_size, stat.st_mtime_ns) != (file.size, file.mtime_ns):
                raise WeightsError(
                    f"{self._folder / file.name}: changed while it was read. Let the program that "
                    "writes it finish, then prepare again."
                )
        return self._files

    def _chosen(self, progress: Progress, companions: Sequence[str]) -> tuple[str, ...]:
        folder = self._folder
        try:
            chosen = _choose(
                str(folder),
                names_in(folder),
                lambda name: (folder / name).read_bytes(),
                lambda: which_instead(folder),
                progress,
                companions,
            )
        except CheckpointError as exc:
            if message := dangling_links(folder):
                raise CheckpointError(message) from exc
            raise
        # A release without its tokenizer would look whole.
        if companions and (message := dangling_links(folder, companions)):
            raise CheckpointError(message)
        return chosen

    def _hashed(
        self, names: Sequence[str], known: Sequence[SourceFile], progress: Progress
    ) -> tuple[SourceFile, ...]:
        digests = {(file.name, file.size, file.mtime_ns): file.digest for file in known}
        stats = [(name, (self._folder / name).stat()) for name in names]
        keys = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        if unknown := [key for key in keys if key not in digests]:
            task = progress.task("hash", sum(size for _, size, _ in unknown))
            for key in unknown:
                digests[key] = f"sha256:{file_sha256(self._folder / key[0], task.advance)}"
            task.finish()
        return tuple(
            SourceFile(name=key[0], size=key[1], digest=digests[key], mtime_ns=key[2])
            for key in keys
        )


class HubSource(Source):
    """A repository on a hub, downloaded into the storage."""

    def __init__(
        self,
        hub: Hub,
        repository: str,
        revision: str,
        storage: Storage,
        progress: Progress,
        companions: Sequence[str] = (),
    ) -> None:
        """Resolve a revision.

        A whole commit is taken as it is, so that a release that is there needs no hub. The
        companions are files that belong to the checkpoint, too, if the repository has them.

        Raises:
            WeightsError: The name is not a repository's.
            FtServingError: The hub refused, or could not be reached.
        """
        if not is_model_name(repository):
            raise WeightsError(
                f"{repository!r} is neither a folder here nor a repository's name, such as "
                "EleutherAI/gpt-j-6b."
            )
        self._hub = hub
        self._storage = storage
        self._progress = progress
        self._companions = companions
        self.repository = repository
        self.origin = hub.endpoint
        if is_commit(revision):
            self.revision = revision
        else:
            self._snapshot = hub.snapshot(repository, revision)
            self.revision = self._snapshot.revision
            progress.say(f"Revision {revision} of {repository} is commit {self.revision}.")

    def config_json(self) -> bytes:
        """Fetch config.json into memory, if the repository has a checkpoint beside it."""
        _ = self._names
        return self._hub.read(self._snapshot, CONFIG_JSON)

    def missing_bytes(self) -> int:
        """Return the bytes that the checkpoint's files lack on disk; earlier parts count."""
        return missing_bytes(self._snapshot, self._names, self._folder)

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """Download the files, or check those that are there."""
        with self._locked():
            folder = self._storage.claim(self.repository, self.revision, self._names)
            download(self._hub, self._snapshot, self._names, folder, self._progress)
            yield folder

    def files(self) -> tuple[SourceFile, ...]:
        """Return the files with the hub's own digests, once they are on the disk.

        A write that fails late loses bytes that were verified in memory; what was made of the file
        afterwards may be of others.
        """
        for name in self._names:
            flush(self._folder / name)
        return tuple(
            SourceFile(
                name=file.name,
                size=file.size,
                digest=f"sha256:{file.sha256}" if file.sha256 else f"git-blob:{file.git_blob}",
            )
            for file in self._snapshot.files.values()
            if file.name in self._names
        )

    def drop(self) -> None:
        """Delete the download; keep, and report, what someone else put there.

        Raises:
            FtServingError: It cannot be deleted.
        """
        with self._storage.explained(), self._locked():
            if reason := self._storage.delete_source(self.repository, self.revision):
                self._progress.say(f"{self._folder}: kept, {reason}")

    @cached_property
    def _snapshot(self) -> Snapshot:
        return self._hub.snapshot(self.repository, self.revision)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return _choose(
            f"{self.repository} at {self.revision}",
            list(self._snapshot.files),
            lambda name: self._hub.read(self._snapshot, name),
            lambda: "Choose another repository or revision.",
            self._progress,
            self._companions,
        )

    @property
    def _folder(self) -> Path:
        return self._storage.source(self.repository, self.revision)

    def _locked(self) -> AbstractContextManager[None]:
        what = source_name(self.repository, self.revision)
        return self._storage.exclusive(what, self._progress)


def _choose(
    place: str,
    names: Sequence[str],
    read: Callable[[str], bytes],
    remedy: Callable[[], str],
    progress: Progress,
    companions: Sequence[str],
) -> tuple[str, ...]:
    """Choose config.json, the files of a checkpoint, and those of its companions that are there.

    Raises:
        CheckpointError: They are not all there; ends in the remedy if config.json is missing.
    """
    if CONFIG_JSON not in names:
        raise CheckpointError(
            f"{place}: has no {CONFIG_JSON}. {kind_of_files(names, read) or remedy()}"
        )
    chosen = select(names, read).files
    if ADAPTER_CONFIG in names:
        progress.say(
            f"Ignored: the adapter of {ADAPTER_CONFIG}; the release is of the whole model beside "
            "it."
        )
    return CONFIG_JSON, *chosen, *(name for name in companions if name in names)
