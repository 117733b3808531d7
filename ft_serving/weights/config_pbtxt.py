"""Writes and checks config.pbtxt, which names the weights by the path where servers see them."""

from pathlib import Path

from ft_serving.core.errors import ReleaseError
from ft_serving.core.families import FAMILIES
from ft_serving.core.files import absolute, same_place
from ft_serving.core.manifest import CONFIG_PBTXT_PATH, WEIGHTS_PATH, Manifest
from ft_serving.core.model_config import ModelConfig, checkpoint_path, render
from ft_serving.core.release import ReleaseFormat
from ft_serving.weights.errors import MisplacedError


def render_config_pbtxt(manifest: Manifest, folder: Path) -> str:
    """Return the text for a release in a folder.

    Args:
        manifest: The release's; its files do not count.
        folder: Where the release lies, or will.
    """
    spec = manifest.spec
    for_any_gpus = spec.format is ReleaseFormat.HUGGINGFACE
    config = ModelConfig(
        model_type=FAMILIES[manifest.family].triton_model_type,
        tensor_parallel=None if for_any_gpus else spec.tensor_parallel,
        pipeline_parallel=None if for_any_gpus else spec.pipeline_parallel,
        compute_dtype=spec.compute_dtype,
        checkpoint_path=str(absolute(folder) / WEIGHTS_PATH),
        streaming=spec.streaming,
        vocabulary=manifest.architecture.vocabulary,
        end_id=manifest.architecture.end_id,
        source=f"{spec.repository}@{spec.revision}",
        limits=spec.limits(manifest.architecture.context),
    )
    return render(config)


def check_place(release: Path) -> None:
    """Check that servers that see a release in this folder find its weights by config.pbtxt.

    Places are compared, not paths: a link, or a mount of the same file system, is as good. Listing
    and pruning do not ask, because who prunes may have mounted the volume elsewhere.

    Raises:
        MisplacedError: Its config.pbtxt names another place.
        ReleaseError: Its config.pbtxt cannot be read.
    """
    path = release / CONFIG_PBTXT_PATH
    try:
        named = checkpoint_path(path.read_text())
    except (OSError, ValueError) as exc:
        raise ReleaseError(f"{path}: cannot be read: {exc}. Prepare the release again.") from exc
    if not same_place(Path(named), release / WEIGHTS_PATH):
        raise MisplacedError(
            f"{CONFIG_PBTXT_PATH}: is for another folder than {absolute(release)}: moved, or "
            f"mounted elsewhere; it names {named}; prepare it again where servers see it"
        )
