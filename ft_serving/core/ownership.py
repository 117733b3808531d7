"""Tells what this program made in a storage from what is someone else's, which it never deletes.

A folder that this program makes gets the file `.ft-serving` before anything else: it names what the
folder is for and the files that this program puts there. When the folder is deleted, this file goes
last, so that what a killed process leaves can still be told. A release without it, which an older
version made, is known by its manifest.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from ft_serving.core.manifest import (
    CONFIG_INI_PATH,
    CONFIG_PBTXT_PATH,
    MANIFEST_PATH,
    WEIGHTS_PATH,
)

MARK = ".ft-serving"
"""The file that makes a folder this program's own."""

NOT_OURS = "nothing in it says that ft-serving made it"
"""The objection to a folder without mark and manifest."""

RELEASE_FILES = (
    str(CONFIG_PBTXT_PATH),
    str(CONFIG_INI_PATH),
    str(MANIFEST_PATH),
    f"{WEIGHTS_PATH}/model.*.bin",
)
"""The files that `prepare` puts into a release, as patterns of paths below its folder, if no mark
says it more exactly."""

STAGED_FILES = (
    *RELEASE_FILES,
    f"{WEIGHTS_PATH}/*.json",
    f"{WEIGHTS_PATH}/merges.txt",
    f"{WEIGHTS_PATH}/model*.safetensors",
    f"{WEIGHTS_PATH}/model*.safetensors.part",
)
"""The files that `prepare` may put into a release of any format while it builds it, likewise; the
mark of a finished one says exactly what it put there."""

# A mark on its way; a rename makes it the mark.
_NEW_MARK = f"{MARK}.new"


class _Record(NamedTuple):
    """The purpose of a folder, and patterns of the files that this program puts into it."""

    purpose: str
    files: tuple[str, ...]


def mark(folder: Path, purpose: str, files: Sequence[str]) -> None:
    """Make a folder this program's own.

    Args:
        folder: Was made by this program.
        purpose: The release, or the download, that it is for.
        files: Patterns of the paths below it that this program will write.

    Raises:
        OSError: The mark cannot be written.
    """
    document = {"made_by": "ft-serving", "purpose": purpose, "files": list(files)}
    new = folder / _NEW_MARK
    new.write_text(json.dumps(document, indent=1) + "\n")
    new.replace(folder / MARK)


def marked_files(folder: Path) -> tuple[str, ...]:
    """Return the patterns of files that a folder's mark names; empty where nothing marks it."""
    record = _record(folder)
    return record.files if record else ()


def is_own(folder: Path) -> bool:
    """Return whether this program made a folder, or what a link leads to."""
    return _record(folder) is not None


def objection(folder: Path, purpose: str) -> str | None:
    """Return why this program must not delete a folder; None where nothing of anybody else's goes.

    Args:
        folder: May be missing.
        purpose: What it must have been made for: a copy under another name is its user's.

    Raises:
        OSError: The folder cannot be read.
    """
    if not os.path.lexists(folder):
        return None
    if folder.is_symlink():
        return "it is a link, which ft-serving does not make"
    if not folder.is_dir():
        return "it is no folder"
    found = sorted(_files(folder) - {MARK, _NEW_MARK})
    if not found:
        return None
    record = _record(folder)
    if record is None:
        return NOT_OURS
    if record.purpose != purpose:
        return f"ft-serving made it as {record.purpose}"
    others = [name for name in found if not any(fnmatchcase(name, it) for it in record.files)]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return f"it holds {others[0]}{more}, which ft-serving did not put there"
    return None


def delete(folder: Path, purpose: str) -> str | None:
    """Delete a folder, its mark last, unless there is an objection.

    Returns:
        The objection; None where the folder was deleted, also by someone else meanwhile.

    Raises:
        OSError: Something in it cannot be read or deleted.
    """
    with suppress(FileNotFoundError):
        if reason := objection(folder, purpose):
            return reason
        if not (folder / MARK).exists():
            # An older version's release. A full volume may have no room for a mark.
            with suppress(OSError):
                mark(folder, purpose, RELEASE_FILES)
        for path in folder.iterdir():
            if path.name != MARK:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (folder / MARK).unlink(missing_ok=True)
        folder.rmdir()
    return None


def _files(folder: Path) -> set[str]:
    """Return the paths below a folder of all that is no folder."""

    def refuse(exc: OSError) -> None:
        raise exc

    paths = [
        Path(parent, name)
        for parent, folders, files in os.walk(folder, onerror=refuse)
        for name in (*files, *(it for it in folders if Path(parent, it).is_symlink()))
    ]
    return {path.relative_to(folder).as_posix() for path in paths}


def _record(folder: Path) -> _Record | None:
    match _read_json(folder / MARK):
        case {"made_by": "ft-serving", "purpose": str(purpose), "files": list(files)}:
            return _Record(purpose, tuple(map(str, files)))
    match _read_json(folder / MANIFEST_PATH):
        case {"manifest_version": int(), "release": str(release)}:
            return _Record(release, RELEASE_FILES)
    return None


def _read_json(path: Path) -> object:
    with suppress(OSError, ValueError, RecursionError):
        content: object = json.loads(path.read_bytes())
        return content
    return None
