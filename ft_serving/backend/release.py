"""Opens the release that a configuration names, unless anything about it is doubtful."""

from pathlib import Path

from ft_serving.backend.config import BackendConfig
from ft_serving.backend.errors import ModelConfigError
from ft_serving.engine import Engine, NumpyEngine
from ft_serving.weights.manifest import Manifest, read_manifest
from ft_serving.weights.verify import check_sizes, refuse_damage


def check_release(folder: Path) -> Manifest:
    """Return the manifest of a release whose files have the names and sizes that it lists.

    FasterTransformer serves noise for a missing or short file, with a warning; here nothing is
    served. Contents are not hashed, but for the small text files: reading a model of 12 GB twice
    would double the time of a cold start.

    Args:
        folder: The release's, which is a Triton model repository.

    Raises:
        ReleaseError: The manifest does not hold; every file at fault is named.
    """
    manifest = read_manifest(folder)
    refuse_damage(folder, check_sizes(folder))
    return manifest


def open_engine(config: BackendConfig) -> Engine:
    """Open the weights that a configuration names.

    Raises:
        ReleaseError: They are not those of a valid release.
        ModelConfigError: They were converted for another tensor parallel size.
        ModelFilesError: The engine cannot compute them.
    """
    manifest = check_release(config.checkpoint.parents[1])
    converted = manifest.spec.tensor_parallel
    if config.tensor_parallel != converted:
        raise ModelConfigError(
            f"config.pbtxt: parameter tensor_para_size: must be {converted}, the size that release "
            f"{manifest.spec.name} was converted for; got {config.tensor_parallel}"
        )
    return NumpyEngine.open(config.checkpoint, converted)
