"""config.pbtxt of a release, which names the weights by the path where servers see them."""

import hashlib
from pathlib import Path

from ft_serving.lengths import LengthLimits
from ft_serving.model_config import ModelConfig, render
from ft_serving.weights.families import FAMILIES
from ft_serving.weights.manifest import CONFIG_PBTXT_PATH, WEIGHTS_PATH, Manifest


def render_config_pbtxt(manifest: Manifest, folder: Path) -> str:
    """Return the text for a release in a folder.

    Args:
        manifest: The release's; its files do not count.
        folder: Where the release lies, or will.
    """
    spec = manifest.spec
    config = ModelConfig(
        model_type=FAMILIES[manifest.family].triton_model_type,
        tensor_parallel=spec.tensor_parallel,
        pipeline_parallel=spec.pipeline_parallel,
        compute_dtype=spec.compute_dtype,
        checkpoint_path=str(folder.absolute() / WEIGHTS_PATH),
        streaming=spec.streaming,
        limits=LengthLimits(
            context_length=manifest.architecture.context,
            input_length=spec.input_length,
            output_length=spec.output_length,
        ),
    )
    return render(config)


def place_problems(release: Path, manifest: Manifest) -> list[str]:
    """Return what is wrong with a release for servers that see it in this very folder.

    Listing and pruning do not ask: who prunes may have mounted the volume elsewhere.
    """
    text = render_config_pbtxt(manifest, release)
    expected = hashlib.sha256(text.encode()).hexdigest()
    if (str(CONFIG_PBTXT_PATH), expected) in {(file.path, file.sha256) for file in manifest.files}:
        return []
    problem = f"is for another folder than {release.absolute()}: moved, or mounted elsewhere"
    return [f"{CONFIG_PBTXT_PATH}: {problem}; prepare it again where servers see it"]
