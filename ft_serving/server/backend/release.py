"""Opens the release that a configuration names, unless anything about it is doubtful."""

from functools import partial
from pathlib import Path

from ft_serving.core.manifest import read_manifest
from ft_serving.core.progress import Progress
from ft_serving.core.release import ReleaseFormat
from ft_serving.core.verify import check_content, refuse_damage
from ft_serving.server.backend.config import BackendConfig
from ft_serving.server.engine.numpy_engine import EngineThread, NumpyEngine
from ft_serving.server.errors import ServerError
from ft_serving.server.requests.job import ServingEngine
from ft_serving.server.vllm.opening import open_vllm_engine
from ft_serving.server.vllm.statistics import OnStatistics


def open_engine(config: BackendConfig, on_statistics: OnStatistics) -> ServingEngine:
    """Open the weights that a configuration names, with the engine that reads their layout.

    Args:
        config: Read from config.pbtxt.
        on_statistics: Is told of each step by an engine that counts them.

    Raises:
        ReleaseError: They are not those of a valid release.
        ServerError: They were converted for another tensor parallel size, the engine cannot compute
            them, or what it needs is not there, such as a GPU.
    """
    folder = config.checkpoint.parents[1]
    spec = read_manifest(folder).spec
    if spec.format is ReleaseFormat.HUGGINGFACE:
        return open_vllm_engine(
            config.checkpoint,
            config.limits,
            streaming=config.streaming,
            check=partial(_refuse_altered, folder),
            on_statistics=on_statistics,
        )
    if config.tensor_parallel != spec.tensor_parallel:
        raise ServerError(
            f"config.pbtxt: parameter tensor_para_size: must be {spec.tensor_parallel}, the size "
            f"that release {spec.name} was converted for; got {config.tensor_parallel or 'none'}"
        )
    _refuse_altered(folder)
    return EngineThread(NumpyEngine.open(config.checkpoint, spec.tensor_parallel, config.limits))


def _refuse_altered(folder: Path) -> None:
    """Raise `ReleaseError` unless a release has the files that it lists, to the last byte.

    FasterTransformer serves noise for a missing or short file, with a warning; here nothing is
    served. Every sha256 is compared: an altered byte changes no size, and may have come since the
    release was made. That costs a third of a second a gigabyte on two cores, and reading, which
    the engine does anyway and then has from the page cache.
    """
    # On stderr, which is Triton's log: a large model is hashed for a while.
    with Progress() as progress:
        refuse_damage(folder, check_content(folder, progress))
