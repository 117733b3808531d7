"""Makes a valid release of a checkpoint: everything that the Job does."""

import errno
import glob
import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath

from ft_serving.core.errors import ReleaseError
from ft_serving.core.families import FAMILIES, read_architecture
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import Family
from ft_serving.core.files import flush
from ft_serving.core.manifest import (
    CONFIG_PBTXT_PATH,
    MANIFEST_PATH,
    WEIGHTS_PATH,
    Manifest,
    ReleaseFile,
    read_manifest,
)
from ft_serving.core.ownership import delete, mark, objection
from ft_serving.core.progress import Progress
from ft_serving.core.release import ReleaseSpec
from ft_serving.core.storage import Storage
from ft_serving.core.units import format_bytes
from ft_serving.core.verify import check_content
from ft_serving.weights.checkpoint import open_checkpoint
from ft_serving.weights.config_pbtxt import check_place, render_config_pbtxt
from ft_serving.weights.errors import MisplacedError, WeightsError
from ft_serving.weights.layouts import LAYOUTS
from ft_serving.weights.match import match_tensors
from ft_serving.weights.plan import parallelism_problems
from ft_serving.weights.source import Source

# For config files, the manifest, and what a file system needs for itself.
_RESERVE_BYTES = 16 << 20

# The errors of a volume that cannot make a hard link: then the weights are converted anew.
_NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


class Outcome(StrEnum):
    """The way in which `prepare` came by a valid release."""

    FOUND = "was there and is valid"
    LINKED = "shares the weights of a release that was there"
    CONVERTED = "was converted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A valid release: its folder, a Triton model repository; its manifest; and its outcome."""

    folder: Path
    manifest: Manifest
    outcome: Outcome


def prepare(source: Source, spec: ReleaseSpec, storage: Storage, progress: Progress) -> Prepared:
    """Make sure that a valid release of a checkpoint exists.

    A release is built aside and appears whole, by one rename; a valid one is never touched. One
    that differs from another in its config.pbtxt only shares that one's weight files. If servers
    compile code for the release, the folder for it is made, too.

    Args:
        source: The checkpoint.
        spec: What decides the release; repository and revision are the source's.
        storage: The volume; its folders must have been created.
        progress: Shows what goes on.

    Raises:
        FtServingError: Of the narrow class that fits; nothing that looks valid is left behind.
    """
    with storage.explained():
        try:
            prepared = _found(storage.release(spec.name), progress)
        except ReleaseError:
            with storage.exclusive(f"release {spec.name}", progress):
                prepared = _made(source, spec, storage, progress)
        if LAYOUTS[spec.format].is_compiled:
            storage.create_cache(spec.name)
    return prepared


def _made(source: Source, spec: ReleaseSpec, storage: Storage, progress: Progress) -> Prepared:
    """Make a release, whose lock is held, unless it is valid by now."""
    folder = storage.release(spec.name)
    misplaced = None
    try:
        # Another process may have finished it while this one waited for the lock.
        return _found(folder, progress)
    except MisplacedError as exc:
        # Its weights are sound: it stays until they are linked into the new one.
        misplaced = exc
    except ReleaseError as exc:
        _clear(spec.name, exc, storage, progress)
    # A folder that a killed process began is used again; the others that it left go.
    begun = storage.begun(spec.name)
    for owner, leftover in storage.leftovers():
        if owner == spec.name and leftover != begun:
            delete(leftover, spec.name)
    staging = begun or storage.staging(spec.name)
    try:
        (staging / WEIGHTS_PATH).mkdir(parents=True, exist_ok=True)
        outcome = Outcome.LINKED
        manifest = _link(spec, staging, storage, progress)
        if manifest is None:
            outcome = Outcome.CONVERTED
            manifest = _convert(spec, staging, source, storage, progress)
        manifest = _complete(manifest, staging, folder)
        if misplaced:
            _clear(spec.name, misplaced, storage, progress)
        staging.rename(folder)
        flush(folder.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return Prepared(folder=folder, manifest=manifest, outcome=outcome)


def _found(folder: Path, progress: Progress) -> Prepared:
    """Return a release that is there and valid, by every sha256: a server refuses any other.

    Raises:
        MisplacedError: It is whole, but its config.pbtxt is for another folder.
        ReleaseError: It is damaged; the message tells the first problem.
        OSError: Its time may not be set.
    """
    manifest = read_manifest(folder)
    if problems := check_content(folder, progress):
        raise ReleaseError(problems[0])
    check_place(folder)
    try:
        # Pruning counts a release's age from the last time that somebody asked for it. Set after
        # the check, because pruning reads it last of all.
        os.utime(folder)
    except FileNotFoundError as exc:
        raise ReleaseError("was deleted while it was checked") from exc
    except OSError as exc:
        # Python's error does not name the path here.
        raise OSError(exc.errno, exc.strerror, str(folder)) from exc
    return Prepared(folder=folder, manifest=manifest, outcome=Outcome.FOUND)


def _clear(name: str, damage: ReleaseError, storage: Storage, progress: Progress) -> None:
    """Delete a release that stands in the way of a valid one, if it is there at all."""
    folder = storage.release(name)
    if not os.path.lexists(folder):
        return
    if reason := objection(folder, name):
        raise ReleaseError(f"{folder}: {reason}, so it is kept. Move it away, then prepare again.")
    if isinstance(damage, MisplacedError):
        state, remedy = f"is whole ({damage})", "making its config.pbtxt anew"
    else:
        state, remedy = f"is damaged ({damage})", "preparing it again"
    progress.say(f"Release {name} {state}; {remedy}.")
    if reason := storage.delete_release(name):
        raise ReleaseError(
            f"Release {name} {state} and {reason}. Stop what uses it, then prepare it again."
        )


def _link(
    spec: ReleaseSpec, staging: Path, storage: Storage, progress: Progress
) -> Manifest | None:
    """Link the weight files of a release that has the very same, if there is one."""
    for name in storage.release_names():
        with storage.lease(name):
            release = storage.release(name)
            try:
                other = read_manifest(release)
            except ReleaseError:
                continue
            if other.spec.weights != spec.weights:
                continue
            _check_settings(FAMILIES[other.family], other.architecture, spec)
            progress.say(f"Release {name} has the same weights; checking and sharing them.")
            if problems := check_content(release, progress):
                progress.say(f"They are damaged ({problems[0]}); converting instead.")
                continue
            files = tuple(file for file in other.files if file.path != str(CONFIG_PBTXT_PATH))
            for path in (staging / WEIGHTS_PATH).iterdir():
                path.unlink()
            try:
                for file in files:
                    (staging / file.path).hardlink_to(release / file.path)
            except OSError as exc:
                if exc.errno not in _NO_LINKS:
                    raise
                progress.say(f"This volume cannot share files ({exc.strerror}); converting.")
                return None
            return replace(other, spec=spec, created=_now(), files=files)
    return None


def _convert(
    spec: ReleaseSpec, staging: Path, source: Source, storage: Storage, progress: Progress
) -> Manifest:
    """Fetch the source and convert it; keep the files that a killed process finished."""
    family, architecture = read_architecture(source.config_json(), spec.format)
    _check_settings(family, architecture, spec)
    layout = LAYOUTS[spec.format](family, architecture, spec)
    weights = staging / WEIGHTS_PATH
    finished = layout.finished(weights)
    for path in weights.iterdir():
        if path not in finished:
            path.unlink()
    kept = sum(path.stat().st_size for path in finished)
    _check_room(source.missing_bytes(), layout.size - kept, storage)
    with source.fetched() as folder, open_checkpoint(folder) as checkpoint:
        match = match_tensors(family, architecture, checkpoint)
        for line in match.ignored():
            progress.say(line)
        texts = layout.texts(folder, [file.name for file in source.files()])
        task = progress.task("convert", layout.size, kept)
        written = layout.write(checkpoint, match, weights, task, source.files)
        task.finish()
        source_files = source.files()
    return Manifest(
        spec=spec,
        family=family.model_type,
        architecture=architecture,
        origin=source.origin,
        source=source_files,
        created=_now(),
        files=(
            *(_write(staging, WEIGHTS_PATH / name, text) for name, text in texts.items()),
            *(replace(file, path=str(WEIGHTS_PATH / file.path)) for file in written),
        ),
    )


def _check_settings(family: Family, architecture: Architecture, spec: ReleaseSpec) -> None:
    problems = parallelism_problems(architecture, spec.tensor_parallel, spec.pipeline_parallel)
    if not spec.limits(architecture.context).fit_context:
        lengths = {"input length": spec.input_length, "output length": spec.output_length}
        given = [f"{name} {length}" for name, length in lengths.items() if length is not None]
        problems.append(
            "prompts and answers together must fit the model's context of "
            f"{architecture.context} tokens ({family.config_json['context']}); "
            f"got {' and '.join(given)}"
        )
    if problems:
        raise WeightsError("\n".join(problems))


def _check_room(download: int, converted: int, storage: Storage) -> None:
    needed = download + converted + _RESERVE_BYTES
    free = storage.free_bytes()
    if free < needed:
        raise WeightsError(
            f"{storage.root}: the volume has {format_bytes(free)} free, and {format_bytes(needed)} "
            f"are needed ({format_bytes(download)} to download, {format_bytes(converted)} of "
            "converted weights). Enlarge the volume, prune old releases, or store the weights in "
            "fewer bytes (--dtype fp16)."
        )


def _complete(manifest: Manifest, staging: Path, folder: Path) -> Manifest:
    """Write config.pbtxt for the release's folder and, last, the manifest; keep all on the disk."""
    text = render_config_pbtxt(manifest, folder)
    config_pbtxt = _write(staging, CONFIG_PBTXT_PATH, text.encode())
    manifest = replace(manifest, files=(config_pbtxt, *manifest.files))
    paths = [glob.escape(file.path) for file in manifest.files]
    mark(staging, manifest.spec.name, [*paths, str(MANIFEST_PATH)])
    _write(staging, MANIFEST_PATH, manifest.to_json().encode())
    for inner in (staging / WEIGHTS_PATH, (staging / WEIGHTS_PATH).parent, staging):
        flush(inner)
    return manifest


def _write(release: Path, path: PurePosixPath, content: bytes) -> ReleaseFile:
    (release / path).write_bytes(content)
    flush(release / path)
    return ReleaseFile(
        path=str(path), size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
