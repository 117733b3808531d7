"""Images that take long to make: layers in the cache, and their names in the registry."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from local_platform.addons.oci import Layer, RunConfig, image_of
from local_platform.addons.registry import RegistryClient
from local_platform.errors import PlatformError

CURRENT: Final = "current"
"""The tag beside that of the content: a name for people and stacks that does not change."""

LAYER_FILE: Final = "layer.tar.gz"
_FACTS: Final = "layer.json"


def cached_layer(folder: Path, make: Callable[[Path], Layer]) -> Layer:
    """The layer that a folder of the cache holds; it is made if the folder is not there.

    Args:
        folder: Named by all that decides the layer's content. It is there only when it is whole.
        make: Writes `LAYER_FILE` into the folder that it is given, and nothing else that stays.

    Raises:
        PlatformError: The disk is full, or the cache cannot be written.
    """
    if not folder.exists():
        try:
            _fill(folder, make)
        except OSError as exc:
            raise PlatformError(f"{folder} could not be written: {exc}") from exc
    return Layer(path=folder / LAYER_FILE, **json.loads((folder / _FACTS).read_text()))


def _fill(folder: Path, make: Callable[[Path], Layer]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        layer = make(making)
        facts = {"digest": layer.digest, "size": layer.size, "diff_id": layer.diff_id}
        (making / _FACTS).write_text(json.dumps(facts))
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def published(
    registry: RegistryClient, repository: str, key: str, layer: Callable[[], Layer], run: RunConfig
) -> str:
    """Have an image in the registry under its key and under `CURRENT`.

    Args:
        registry: Where it belongs.
        repository: Its name there.
        key: The tag, which stands for all that decides the content.
        layer: Gives the layer; asked only if the registry lacks a name.
        run: How containers of it are started.

    Returns:
        The digest.

    Raises:
        PlatformError: The layer cannot be had, or the registry fails.
    """
    digest = registry.digest(repository, key)
    if digest is None or registry.digest(repository, CURRENT) != digest:
        image = image_of(layer(), run)
        registry.push(repository, CURRENT, image)
        digest = registry.push(repository, key, image)
    return digest
