"""Renders config.ini, from which FasterTransformer's backend reads the model's numbers."""

from ft_serving.core.dtypes import DType
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import Family


def render_config_ini(
    family: Family, architecture: Architecture, dtype: DType, model_name: str
) -> str:
    """Return the text of config.ini.

    A key that FasterTransformer reads and does not find ends the whole server.

    Args:
        family: Names the section and its keys.
        architecture: The model's numbers.
        dtype: Format of the stored weights.
        model_name: For people; nothing depends on it.
    """
    numbers = {key: getattr(architecture, number) for number, key in family.config_ini.items()}
    values = {"model_name": model_name, **numbers, "weight_data_type": dtype.value}
    lines = [f"[{family.section}]", *(f"{key} = {value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
