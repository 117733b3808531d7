"""Opens the release that a configuration names, unless anything about it is doubtful."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ft_serving.core.manifest import Manifest, read_manifest
from ft_serving.core.progress import Progress
from ft_serving.core.release import ReleaseFormat
from ft_serving.core.verify import check_content, refuse_damage
from ft_serving.server.backend.config import BackendConfig
from ft_serving.server.engine import NumpyEngine
from ft_serving.server.engine.thread import EngineThread
from ft_serving.server.errors import ServerError
from ft_serving.server.requests.job import ServingEngine
from ft_serving.server.vllm.opening import open_vllm_engine
from ft_serving.server.vllm.statistics import Statistics


def check_release(folder: Path) -> Manifest:
    """Return the manifest of a release whose files are those that it lists, to the last byte.

    FasterTransformer serves noise for a missing or short file, with a warning; here nothing is
    served. Every sha256 is compared: an altered byte changes no size, and may have come since the
    release was made. That costs a third of a second a gigabyte on two cores, and reading, which
    the engine does anyway and then has from the page cache.

    Args:
        folder: The release's, which is a Triton model repository.

    Raises:
        ReleaseError: The manifest does not hold; every file at fault is named.
    """
    manifest = read_manifest(folder)
    # On stderr, which is Triton's log: a large model is hashed for a while.
    with Progress() as progress:
        refuse_damage(folder, check_content(folder, progress))
    return manifest


def open_engine(
    config: BackendConfig, on_statistics: Callable[[Statistics], None]
) -> ServingEngine:
    """Open the weights that a configuration names, with the engine that reads their layout.

    Args:
        config: What config.pbtxt asks for.
        on_statistics: Is told of each step by an engine that counts them.

    Raises:
        ReleaseError: They are not those of a valid release.
        ServerError: They were converted for another tensor parallel size, the engine cannot compute
            them, or what it needs is not there, such as a GPU.
    """
    folder = config.checkpoint.parents[1]
    if read_manifest(folder).spec.format is ReleaseFormat.HUGGINGFACE:
        return open_vllm_engine(
            config.checkpoint,
            config.limits,
            streaming=config.streaming,
            check=partial(check_release, folder),
            on_statistics=on_statistics,
        )
    manifest = check_release(folder)
    converted = manifest.spec.tensor_parallel
    if config.tensor_parallel != converted:
        raise ServerError(
            f"config.pbtxt: parameter tensor_para_size: must be {converted}, the size that release "
            f"{manifest.spec.name} was converted for; got {config.tensor_parallel or 'none'}"
        )
    return EngineThread(NumpyEngine.open(config.checkpoint, converted, config.limits))
