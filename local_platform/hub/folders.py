"""Which folders and files below a root are served.

A model is a folder that holds `config.json`: `ROOT/name` is served as `name`, and
`ROOT/namespace/name` as `namespace/name`. Not served are names that begin with a dot,
`__pycache__` (it differs between machines, and the commit must not), names with characters that
are not printable, folders that are symbolic links, symbolic links to anything but a served file
inside the root, and what is not a regular file.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local_platform.hub.digests import FileVersion


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedFile:
    """A file of a model.

    Attributes:
        path: path in the model, with slashes.
        location: path on disk, free of symbolic links.
        version: the version seen there.
    """

    path: str
    location: str
    version: FileVersion


def model_folders(root: Path) -> dict[str, str]:
    """Find the models below a root.

    Args:
        root: the root, free of symbolic links.

    Returns:
        The models' folders by their names.

    Raises:
        OSError: the root cannot be listed.
    """
    folders: dict[str, str] = {}
    with os.scandir(root) as entries:
        for top in filter(_is_folder, entries):
            # The root of an ext4 volume has a lost+found that only root may look into.
            with contextlib.suppress(PermissionError):
                folders |= _models_at(top)
    return folders


def served_files(folder: str, root: Path, *, prefix: str = "") -> Iterator[ServedFile]:
    """Find the files below a model's folder, in no order.

    Args:
        folder: the folder, free of symbolic links.
        root: the root that no link may lead out of, itself free of symbolic links.
        prefix: the folder's path in the model, with a slash at its end; empty for the model.

    Raises:
        OSError: a folder cannot be listed, or vanishes meanwhile.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _is_served(entry.name):
                continue
            path = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from served_files(entry.path, root, prefix=f"{path}/")
                continue
            location = _linked_file(entry.path, root) if entry.is_symlink() else entry.path
            if location is None:
                continue
            status = Path(location).lstat()
            if stat.S_ISREG(status.st_mode):
                yield ServedFile(path=path, location=location, version=FileVersion.of(status))


def _linked_file(path: str, root: Path) -> str | None:
    """Where a symbolic link leads, or None if that is not served."""
    try:
        target = Path(path).resolve(strict=True)
    except (OSError, RuntimeError):
        # It dangles, or leads in a circle.
        return None
    if not target.is_relative_to(root):
        return None
    if not all(_is_served(part) for part in target.relative_to(root).parts):
        return None
    return str(target)


def _models_at(top: os.DirEntry[str]) -> dict[str, str]:
    """The model that a folder of the root is, or the models in it as a namespace."""
    if _is_model(top):
        return {top.name: top.path}
    with os.scandir(top) as entries:
        return {
            f"{top.name}/{entry.name}": entry.path
            for entry in filter(_is_folder, entries)
            if _is_model(entry)
        }


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return _is_served(entry.name) and entry.is_dir(follow_symlinks=False)


def _is_model(folder: os.DirEntry[str]) -> bool:
    return (Path(folder.path) / "config.json").is_file()


def _is_served(name: str) -> bool:
    # Not printable are also the bytes of a name that is not UTF-8, which JSON cannot tell.
    return not name.startswith(".") and name != "__pycache__" and name.isprintable()
