"""Lists the families of models that can be converted; a new one is a module and an entry here."""

import json

from ft_serving.core.errors import FtServingError
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import ConfigReader, Family
from ft_serving.core.families.gptj import GPTJ
from ft_serving.core.families.gptneox import GPTNEOX
from ft_serving.core.kinds import kind_of_config
from ft_serving.core.release import ReleaseFormat

DEFAULT_FAMILY = GPTJ
"""The family of models that name none."""

FAMILIES = {family.model_type: family for family in (GPTJ, GPTNEOX)}


def family_by_triton_type(name: str | None) -> Family:
    """Return the family that has this name in config.pbtxt, or the default one."""
    return next((f for f in FAMILIES.values() if f.triton_model_type == name), DEFAULT_FAMILY)


def read_architecture(
    config_json: bytes, release_format: ReleaseFormat = ReleaseFormat.FASTERTRANSFORMER
) -> tuple[Family, Architecture]:
    """Return the family and the numbers in a checkpoint's config.json.

    Args:
        config_json: The file's content.
        release_format: The format of the release that is made or served, whose engines need not
            take every model.

    Raises:
        FtServingError: It is not JSON, of a family not known here, its numbers are not
            possible, or it says that the weights are quantized; every problem at once.
    """
    try:
        config = json.loads(config_json)
    except (ValueError, RecursionError) as exc:
        raise FtServingError(f"config.json: is not valid JSON: {exc}") from exc
    if not isinstance(config, dict):
        raise FtServingError(f"config.json: must hold a JSON object; got {type(config).__name__}")
    model_type = config.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise FtServingError(
            f"config.json: model_type {model_type!r} cannot be converted; supported: {known}"
        )
    reader = ConfigReader(config, release_format)
    architecture = family.read_config(reader)
    for misfit in architecture.misfits():
        reader.refuse(family.config_json[misfit.number], misfit.rule)
    if problem := kind_of_config(config):
        reader.problems.append(problem)
    reader.raise_problems()
    return family, architecture
