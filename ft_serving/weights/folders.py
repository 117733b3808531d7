"""Local folders that are given as checkpoints, the hub's cache (HF_HOME) among them.

A model's folder there is `models--OWNER--NAME`, with `blobs`, `refs`, and `snapshots/COMMIT`, whose
files link to the blobs.
"""

import re
from collections.abc import Collection
from pathlib import Path

from ft_serving.core.release import is_commit
from ft_serving.weights.errors import CheckpointError

CONFIG_JSON = "config.json"

_CACHED = re.compile(r"models--(?P<name>.+)")

# Names of files without which a checkpoint is not whole.
_OF_CHECKPOINT = re.compile(r"config\.json|.*\.(safetensors|bin|index\.json)")

_SHOWN = 8


def checkpoint_folder(folder: Path) -> Path:
    """Return the only snapshot of a model's folder in the hub's cache, and any other as it is.

    Raises:
        CheckpointError: The cache's folder has no snapshot, or several.
    """
    if not (_CACHED.fullmatch(folder.absolute().name) and (folder / "snapshots").is_dir()):
        return folder
    try:
        snapshots = sorted(path for path in (folder / "snapshots").iterdir() if path.is_dir())
    except OSError as exc:
        raise CheckpointError(
            f"{exc.filename}: cannot be read: {exc.strerror}. Let the user who runs this read it."
        ) from exc
    if len(snapshots) != 1:
        raise CheckpointError(
            f"{folder}: is a folder of the hub's cache and must have one snapshot; found "
            f"{_listed(snapshots) or 'none'}. Name a snapshot's folder."
        )
    return snapshots[0]


def model_name(folder: Path) -> str:
    """Return a model's name from the path of its folder, whose last part may be a commit."""
    if not is_commit(folder.name):
        return folder.name
    above = folder.parent.parent if folder.parent.name == "snapshots" else folder.parent
    cached = _CACHED.fullmatch(above.name)
    return cached["name"].replace("--", "/") if cached else above.name or folder.name


def names_in(folder: Path) -> list[str]:
    """Return the names of a folder's files and, with a slash at the end, of the folders in it."""
    names = {path.name: path for path in folder.iterdir() if path.is_dir() or path.is_file()}
    return [f"{name}/" if path.is_dir() else name for name, path in names.items()]


def which_instead(folder: Path) -> str:
    """Return a sentence on the folder to name instead of one that has no config.json."""
    patterns = ("*", "snapshots/*", "*/snapshots/*")
    below = [path.parent for p in patterns for path in folder.glob(f"{p}/{CONFIG_JSON}")]
    if below:
        return f"Name one below it: {_listed(sorted(below))}."
    return "Name a folder that holds a checkpoint as transformers' save_pretrained writes it."


def dangling_links(folder: Path, companions: Collection[str] = ()) -> str | None:
    """Return a message on links to files that are not there, if a folder has some.

    Args:
        folder: A checkpoint's.
        companions: The files to look at; by default those without which it is not whole.
    """
    names = companions or {it.name for it in folder.iterdir() if _OF_CHECKPOINT.fullmatch(it.name)}
    paths = [folder / name for name in sorted(names)]
    links = [path for path in paths if path.is_symlink() and not path.exists()]
    if not links:
        return None
    shown = ", ".join(f"{link.name} -> {link.readlink()}" for link in links[:_SHOWN])
    return (
        f"{folder}: has links to files that are not there: {shown}. Copy or mount it with what the "
        "links lead to: of the hub's cache the whole folder models--OWNER--NAME, with blobs; or "
        "copy the files themselves with `cp -rL`."
    )


def _listed(folders: list[Path]) -> str:
    return ", ".join(map(str, folders[:_SHOWN]))
