"""Lists the releases of a storage; deletes those that nobody needs, and what belongs to none."""

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from ft_serving.core.errors import ReleaseError
from ft_serving.core.manifest import Manifest, read_manifest
from ft_serving.core.ownership import NOT_OURS, delete, objection
from ft_serving.core.storage import CACHES, Storage, source_name
from ft_serving.core.verify import check_sizes

IDLE_SECONDS = 24 * 60 * 60.0
"""A download stays for so long after its last write, so that a Job or the next `up` can go on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A release as it lies in the storage.

    Attributes:
        name: Its folder.
        manifest: Its manifest, unless that cannot be read.
        problems: Its damages; empty for a valid one.
        users: The processes that use it.
        asked_ns: When it was last asked for, in nanoseconds: its folder's time.
    """

    name: str
    manifest: Manifest | None
    problems: tuple[str, ...]
    users: tuple[str, ...]
    asked_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The fate of a release, a cache, a download or another folder in a pruning.

    Attributes:
        name: The release's, or the folder in the storage.
        kept_because: Why it was kept; None where it was deleted.
    """

    name: str
    kept_because: str | None


def list_releases(storage: Storage) -> list[Entry]:
    """Return all releases, the newest first; those without a readable manifest come last.

    Nothing is written to the storage.

    Raises:
        FtServingError: The storage, or its leases, cannot be read.
    """
    with storage.explained():
        entries = [_entry(storage, name) for name in storage.release_names()]
    return sorted(entries, key=lambda e: e.manifest.created if e.manifest else "", reverse=True)


def prune(storage: Storage, keep: Collection[str], newest: int) -> Iterator[Decision]:
    """Delete releases except those named, the newest valid others, and those in use.

    A release that `prepare` found is as new as one that it made: it was asked for again.

    What killed processes left behind goes too, and so do caches of releases that are gone, and
    downloads that nobody works on and in which nothing was written for IDLE_SECONDS: those of Jobs
    that failed or were given up. What someone else put there is kept. Yields a decision when it has
    been carried out.

    Args:
        storage: The storage.
        keep: Names or paths of releases to keep.
        newest: How many of the newest valid releases to keep besides.

    Raises:
        ReleaseError: What to keep is not in the storage; nothing has been deleted.
        FtServingError: Something cannot be deleted; what was yielded has been carried out.
    """
    entries = list_releases(storage)
    found = {each: storage.find(each) for each in keep}
    if unknown := sorted(each for each, name in found.items() if name is None):
        raise ReleaseError(
            f"{storage.root}: has no release {', '.join(unknown)}; nothing was deleted. "
            "`ft-serving weights list` shows those there are."
        )
    others = [entry for entry in entries if not entry.problems and entry.name not in found.values()]
    others.sort(key=lambda entry: entry.asked_ns, reverse=True)
    kept = {entry.name: f"among the newest {newest}" for entry in others[:newest]}
    kept |= {name: "named" for name in found.values() if name}

    for entry in entries:
        name = entry.name
        if name in kept:
            yield Decision(name=name, kept_because=kept[name])
        else:
            delete_release = partial(storage.delete_release, name, entry.asked_ns)
            yield _if_idle(storage, f"release {name}", name, delete_release)
    for name in storage.other_names():
        yield Decision(name=name, kept_because=NOT_OURS)
    for name in storage.abandoned_caches():
        delete_cache = partial(storage.delete_cache, name)
        yield _if_idle(storage, f"release {name}", f"{CACHES}/{name}", delete_cache)
    for repository, revision in storage.sources():
        name = storage.source(repository, revision).relative_to(storage.root).as_posix()
        delete_download = partial(_delete_download, storage, repository, revision)
        yield _if_idle(storage, source_name(repository, revision), name, delete_download)
    for name, leftover in storage.leftovers():
        decision = _if_idle(
            storage, f"release {name}", leftover.name, partial(delete, leftover, name)
        )
        if decision.kept_because:
            yield decision


def _if_idle(
    storage: Storage, lock: str, name: str, delete_it: Callable[[], str | None]
) -> Decision:
    """Delete something, unless another process has its lock."""
    with storage.explained(), storage.if_idle(lock) as holder:
        return Decision(name=name, kept_because=f"{holder} works on it" if holder else delete_it())


def _delete_download(storage: Storage, repository: str, revision: str) -> str | None:
    """Delete a download that was given up, or return why it is kept."""
    folder = storage.source(repository, revision)
    if reason := objection(folder, source_name(repository, revision)):
        return reason
    # Another pruning may have deleted it.
    with suppress(FileNotFoundError):
        if storage.idle_seconds(folder) < IDLE_SECONDS:
            return "written to within a day"
    return storage.delete_source(repository, revision)


def _entry(storage: Storage, name: str) -> Entry:
    # Before anything is read, so that pruning notices who asks for the release from here on.
    asked_ns = storage.asked_ns(name)
    manifest = None
    try:
        manifest = read_manifest(storage.release(name))
        problems = check_sizes(storage.release(name))
    except ReleaseError as exc:
        problems = [str(exc)]
    return Entry(
        name=name,
        manifest=manifest,
        problems=tuple(problems),
        users=tuple(storage.shown_users(name)),
        asked_ns=asked_ns,
    )
