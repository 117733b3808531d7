"""What an update would change in the cluster, and whether it needs a new object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_platform.plugins.kubernetes.changes import Change, Path, changes, parsed
from local_platform.plugins.kubernetes.cluster import Cluster
from local_platform.plugins.kubernetes.errors import (
    ClusterError,
    InvalidError,
    NotFoundError,
    UnknownKindError,
    UnreachableError,
)
from local_platform.plugins.kubernetes.immutable import immutable
from local_platform.plugins.kubernetes.manifest import AUTONAMED, annotation, identity
from local_platform.plugins.kubernetes.readiness.state import condition
from local_platform.plugins.kubernetes.settings import Settings
from local_platform.plugins.values import has_unknown, reveal

REPLACE_UNREADY = "pulumi.com/replaceUnready"
"""Asks to replace a Job that has not succeeded, though nothing about it changed."""

_IMMUTABLE_WORDS = (
    "immutable",
    "are forbidden",
    "can not be less than previous value",
    "may not be changed",
    "may not change",
)
"""How the API server says that a field cannot change so: it has no code for it."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The outcome of a comparison.

    Attributes:
        changed: What would change, by property path.
        replacing: Those paths that need a new object.
        delete_first: Whether the old object is in the new one's way.
    """

    changed: Mapping[Path, Change]
    replacing: frozenset[Path]
    delete_first: bool


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], cluster: Cluster, settings: Settings
) -> Difference:
    """Compares a resource's old and new inputs, by what the API server would make of them.

    Equal inputs are no change, whatever others did to the object: a refresh brings that into the
    old inputs. Otherwise a dry run of the new inputs is compared with the object as it is, so that
    defaults, another notation of the same quantity, and fields of other managers do not count.

    Raises:
        UnreachableError: No API server answers.
    """
    changed = changes(old, new)
    moved = _moved(changed)
    if not changed or moved or has_unknown(new):
        replacing = moved | immutable(changed, old, settings)
    else:
        changed, replacing = _asked(old, new, changed, cluster, settings)
    if not moved and _has_not_succeeded(new, cluster):
        cause: Path = ("metadata", "annotations", REPLACE_UNREADY)
        changed, replacing = {**changed, cause: Change.UPDATED}, replacing | {cause}
    return Difference(
        changed=changed,
        replacing=replacing,
        delete_first=bool(replacing)
        and annotation(new, AUTONAMED) != "true"
        and _same_object(old, new),
    )


def _asked(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    changed: dict[Path, Change],
    cluster: Cluster,
    settings: Settings,
) -> tuple[dict[Path, Change], frozenset[Path]]:
    manifest = reveal(new)
    namespace, name = identity(manifest)
    try:
        live = cluster.get(manifest["apiVersion"], manifest["kind"], namespace, name)
        # What others own is taken over in the dry run: their values are then seen as differences,
        # and the update itself says whose they are.
        planned = cluster.apply(manifest, force=True, dry_run=True)
    except UnreachableError:
        raise
    except InvalidError as exc:
        refused = frozenset(
            parsed(cause["field"])
            for cause in exc.causes
            if any(words in cause["message"] for words in _IMMUTABLE_WORDS)
        )
        return changed, _below(changed, refused) | immutable(changed, old, settings)
    except (NotFoundError, UnknownKindError):
        return changed, immutable(changed, old, settings)
    except ClusterError:
        # The update meets the same refusal, in preview too, and reports it.
        return changed, immutable(changed, old, settings)
    real = changes(live, planned)
    return real, immutable(real, old, settings)


def _has_not_succeeded(new: Mapping[str, Any], cluster: Cluster) -> bool:
    """Whether the program asks to replace this Job, as the cluster has it now."""
    if new["kind"] != "Job" or str(annotation(new, REPLACE_UNREADY)).lower() != "true":
        return False
    namespace, name = identity(reveal(new))
    try:
        live = cluster.get(new["apiVersion"], "Job", namespace, name)
    except ClusterError:
        # One that is gone is made again by the update; all else is the update's to report.
        return False
    complete = condition(live, "Complete")
    return complete is None or complete["status"] != "True"


def _moved(changed: Mapping[Path, Change]) -> frozenset[Path]:
    """Changes that mean another object."""
    places: tuple[Path, ...] = (("kind",), ("metadata", "name"), ("metadata", "namespace"))
    return frozenset(place for place in places if place in changed)


def _same_object(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return old["kind"] == new["kind"] and identity(old) == identity(new)


def _below(changed: Mapping[Path, Change], refused: frozenset[Path]) -> frozenset[Path]:
    """The changes inside the fields that were refused; all, if none can be told apart."""
    inside = frozenset(
        path
        for path in changed
        for field in refused
        if path[: len(field)] == field or field[: len(path)] == path
    )
    return inside or (frozenset(changed) if refused else frozenset())
