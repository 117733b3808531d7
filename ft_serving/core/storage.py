"""The folders of a storage: who may change which of them, and when.

    ROOT/models/REPOSITORY/REVISION/          downloaded checkpoints
    ROOT/triton-model-store/RELEASE/          a Triton model repository each
    ROOT/caches/RELEASE/                      what servers compile for it; they may write there
    ROOT/.locks/  ROOT/.leases/RELEASE/       who prepares, who uses what

Everything else there is someone else's: ownership.py tells it, and nothing here deletes it.

Locks and leases are marker files with a heartbeat (ADR 12). They say who should be working;
a release is safe because it is built aside and appears whole by one rename.
"""

import errno
import glob
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from filelock import SoftFileLease, Timeout

from ft_serving.core.errors import FtServingError
from ft_serving.core.files import absolute, same_place
from ft_serving.core.ownership import (
    STAGED_FILES,
    delete,
    is_own,
    mark,
    marked_files,
    objection,
)
from ft_serving.core.progress import Progress
from ft_serving.core.release import is_commit
from ft_serving.core.units import format_bytes

LEASE_SECONDS = 60.0
"""A holder without a heartbeat for so long counts as gone. A dead process of this machine, or of
this container, is noticed at once where the volume can exchange two names."""

_POLL_SECONDS = 5.0

# The errors of a volume or a quota without room.
_FULL = {errno.ENOSPC, errno.EDQUOT}

# Names that begin with a dot are no releases: what is being built, and what is being deleted.
_HIDDEN = re.compile(r"\.(?:staging|trash)-(?P<name>.+)-[0-9a-f]{8}")

CACHES = "caches"
"""The folder of the caches: one for each release that servers compile code for. A server mounts its
own writable, and everything else read-only."""

# Servers write into folders of it, one for each GPU, engine and settings.
_CACHE_FILES = ("*/*",)


def source_name(repository: str, revision: str) -> str:
    """Return the name under which a checkpoint's download is locked."""
    return f"{repository}@{revision}"


class Storage:
    """A volume that holds checkpoints and releases.

    Attributes:
        root: The volume's folder.
        releases: The folder of the releases.
    """

    def __init__(self, root: Path) -> None:
        # From the root, because the path goes into config.pbtxt.
        self.root = absolute(root)
        self.releases = self.root / "triton-model-store"

    def source(self, repository: str, revision: str) -> Path:
        """Return the folder that a checkpoint is downloaded into."""
        return self.root / "models" / repository / revision

    def sources(self) -> list[tuple[str, str]]:
        """Return repository and commit of every download, whole or not."""
        models = self.root / "models"
        # A repository's name has one part or two; below a commit are its own folders.
        paths = (*models.glob("*/*"), *models.glob("*/*/*"))
        return sorted(
            (path.parent.relative_to(models).as_posix(), path.name)
            for path in paths
            if is_commit(path.name) and not is_commit(path.parent.name) and path.is_dir()
        )

    def release(self, name: str) -> Path:
        """Return a release's folder."""
        return self.releases / name

    def release_names(self) -> list[str]:
        """Return the names of all releases, whole or not."""
        return [name for name in self._visible() if is_own(self.release(name))]

    def other_names(self) -> list[str]:
        """Return the names of folders beside the releases that someone else made."""
        return [name for name in self._visible() if not is_own(self.release(name))]

    def find(self, release: str) -> str | None:
        """Return the name of a release that is given by its name or its path; None if none is."""
        names = self.release_names()
        if release in names:
            return release
        return next((it for it in names if same_place(self.release(it), Path(release))), None)

    def create(self) -> None:
        """Create the storage's folders.

        Raises:
            FtServingError: The folder cannot be created or written.
        """
        try:
            for folder in (self.releases, self.root / ".locks", self.root / ".leases"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise FtServingError(
                f"{self.root}: cannot be written: {exc.strerror}. Name a folder on a writable "
                "volume."
            ) from exc

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the operating system into messages that users can act on.

        Raises:
            FtServingError: For an OSError.
        """
        try:
            yield
        except OSError as exc:
            if exc.errno in _FULL:
                raise FtServingError(
                    f"{self.root}: the volume is full; {format_bytes(self.free_bytes())} are free. "
                    "What was downloaded is kept. Enlarge the volume or prune old releases, then "
                    "run this again."
                ) from exc
            raise FtServingError(
                f"{exc.filename or self.root}: {exc.strerror or exc}. Check the volume and its "
                "permissions, then run this again."
            ) from exc

    @contextmanager
    def exclusive(self, what: str, progress: Progress) -> Iterator[None]:
        """Hold the lock on a release or a source; wait for another process that holds it.

        Raises:
            OSError: The volume is full, or cannot be written.
        """
        lock = self._lock(what)
        if holder := self._acquire(lock):
            progress.say(f"Waiting for {holder}, which works on {what}.")
            while self._acquire(lock, _POLL_SECONDS):
                pass
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def if_idle(self, what: str) -> Iterator[str | None]:
        """Hold the lock if nobody does; give None then, and otherwise the name of its holder.

        On a volume without room for the lock's record the caller goes on without it: it wants to
        delete, and only a deletion makes room.

        Raises:
            OSError: The volume cannot be written.
        """
        lock, holder = self._lock(what), None
        try:
            holder = self._acquire(lock)
        except OSError as exc:
            if exc.errno not in _FULL or Path(lock.lock_file).exists():
                raise
        try:
            yield holder
        finally:
            # Does nothing if this process does not hold it.
            lock.release()

    @contextmanager
    def lease(self, name: str) -> Iterator[None]:
        """Declare that a release is in use, so that it is neither pruned nor replaced.

        Raises:
            FtServingError: The volume is full, or cannot be written.
        """
        folder = self._leases(name)
        lease = _lease(folder / f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}")
        with self.explained():
            folder.mkdir(parents=True, exist_ok=True)
            lease.acquire()
        try:
            yield
        finally:
            lease.release()

    def users(self, name: str) -> list[str]:
        """Return the processes that hold a lease on a release, each as "process N on HOST"."""
        users = []
        for lease in self._leases_on(name):
            if user := self._acquire(lease):
                users.append(user)
            lease.release()
        return users

    def shown_users(self, name: str) -> list[str]:
        """Return what `users` does, as far as it can be told without writing to the volume.

        A killed process counts for LEASE_SECONDS, and this machine's clock for the volume's.
        """
        users = []
        for lease in self._leases_on(name):
            with suppress(FileNotFoundError):
                if time.time() - Path(lease.lock_file).stat().st_mtime < LEASE_SECONDS:
                    users.append(_owner(lease))
        return users

    def staging(self, name: str) -> Path:
        """Create a folder in which a release can be built aside."""
        folder = self._hidden("staging", name)
        folder.mkdir()
        try:
            mark(folder, name, STAGED_FILES)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def begun(self, name: str) -> Path | None:
        """Return a folder in which a killed process built a release, if nothing else is in it."""
        folders = sorted(self.releases.glob(f".staging-{glob.escape(name)}-*"))
        return next((it for it in folders if is_own(it) and objection(it, name) is None), None)

    def claim(self, repository: str, revision: str, names: Iterable[str]) -> Path:
        """Return the folder that the named files are downloaded into; create it if need be.

        Raises:
            FtServingError: What is there is not, or not only, a download of this program's.
            OSError: The folder cannot be created.
        """
        folder, purpose = self.source(repository, revision), source_name(repository, revision)
        folder.mkdir(parents=True, exist_ok=True)
        if reason := objection(folder, purpose):
            raise FtServingError(
                f"{folder}: {reason}, so nothing is downloaded into it. Move it away, or convert "
                f"what it holds by --repository {folder}."
            )
        ends = ("", ".part", ".part.journal")
        patterns = [glob.escape(name) + end for name in names for end in ends]
        # A release of another format needs other files of the repository.
        mark(folder, purpose, list(dict.fromkeys([*marked_files(folder), *patterns])))
        return folder

    def delete_source(self, repository: str, revision: str) -> str | None:
        """Delete a download, whose lock is held; return why it was kept, if it was.

        Half of it does no harm: whoever goes on downloading compares every file.
        """
        return delete(self.source(repository, revision), source_name(repository, revision))

    def delete_release(self, name: str, asked_ns: int | None = None) -> str | None:
        """Delete a release, unless it is in use, was asked for again or is someone else's.

        Args:
            name: The release's; one that is not there counts as deleted.
            asked_ns: Keep it if it was asked for after this time (`asked_ns`); no matter by
                default.

        Returns:
            Why it was kept; None where it was deleted.
        """
        if reason := objection(self.release(name), name):
            return reason
        if users := self.users(name):
            return _in_use(users)
        trash = self._hidden("trash", name)
        with suppress(FileNotFoundError):
            self.release(name).rename(trash)
            # Whoever uses a release takes the lease before it opens a file, and whoever reports
            # one as valid sets its time: what was done meanwhile shows here.
            users = self.users(name)
            asked_again = asked_ns is not None and trash.stat().st_mtime_ns > asked_ns
            if users or asked_again:
                trash.rename(self.release(name))
                return _in_use(users) if users else "asked for meanwhile"
            delete(trash, name)
            with suppress(OSError):
                self._leases(name).rmdir()
        return None

    def asked_ns(self, name: str) -> int:
        """Return when a release was last asked for, in nanoseconds; 0 if it is not there."""
        try:
            return self.release(name).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def leftovers(self) -> list[tuple[str, Path]]:
        """Return what killed processes left behind: the release it was for, and the folder."""
        matches = [(_HIDDEN.fullmatch(entry.name), entry) for entry in _entries(self.releases)]
        return [(match["name"], entry) for match, entry in matches if match]

    def create_cache(self, name: str) -> None:
        """Create the folder that servers of a release may write to; Kubernetes would as root."""
        folder = self.root / CACHES / name
        folder.mkdir(parents=True, exist_ok=True)
        if not is_own(folder):
            mark(folder, f"{CACHES}/{name}", _CACHE_FILES)

    def abandoned_caches(self) -> list[str]:
        """Return the names of releases that are gone and whose cache is there still."""
        return [
            cache.name
            for cache in _entries(self.root / CACHES)
            if not os.path.lexists(self.release(cache.name)) and is_own(cache)
        ]

    def delete_cache(self, name: str) -> str | None:
        """Delete a release's cache; return why it was kept, where somebody else's file is in it."""
        return delete(self.root / CACHES / name, f"{CACHES}/{name}")

    def idle_seconds(self, folder: Path) -> float:
        """Return how long ago something in a folder was last written."""
        return time.time() - max(p.lstat().st_mtime for p in (folder, *folder.rglob("*")))

    def free_bytes(self) -> int:
        """Return the bytes that can still be written."""
        return shutil.disk_usage(self.root).free

    def _visible(self) -> list[str]:
        entries = _entries(self.releases)
        return [entry.name for entry in entries if entry.name[0] != "." and entry.is_dir()]

    def _hidden(self, kind: str, name: str) -> Path:
        return self.releases / f".{kind}-{name}-{token_hex(4)}"

    def _leases(self, name: str) -> Path:
        return self.root / ".leases" / name

    def _leases_on(self, name: str) -> list[SoftFileLease]:
        return [_lease(marker) for marker in _entries(self._leases(name))]

    def _lock(self, what: str) -> SoftFileLease:
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return _lease(folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '--', what)}.lock")

    def _acquire(self, lock: SoftFileLease, timeout: float = 0) -> str | None:
        """Acquire a lock or a lease, or return its holder, if that shows signs of life.

        Raises:
            OSError: The volume is full, or cannot be written.
        """
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            if self._age(Path(lock.lock_file)) < LEASE_SECONDS:
                return _owner(lock)
            # filelock takes it over by exchanging two names, which NFS and SMB refuse. Two
            # processes that break it at once may both hold it: see the module.
            lock.force_break()
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return _owner(lock)
        return None

    def _age(self, marker: Path) -> float:
        """Return seconds since a heartbeat, by the volume's own clock; nodes' clocks differ."""
        probe = self.root / ".locks" / f".now-{token_hex(4)}"
        probe.parent.mkdir(parents=True, exist_ok=True)
        try:
            probe.touch()
            return probe.stat().st_mtime - marker.stat().st_mtime
        except FileNotFoundError:
            return LEASE_SECONDS
        finally:
            probe.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; nothing where the folder is not there."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _lease(marker: Path) -> SoftFileLease:
    return SoftFileLease(marker, lease_duration=LEASE_SECONDS, is_singleton=False)


def _owner(lease: SoftFileLease) -> str:
    owner = lease.owner
    return f"process {owner.pid} on {owner.hostname}" if owner else "another process"


def _in_use(users: list[str]) -> str:
    return f"in use by {', '.join(users)}"
