"""Renders config.ini, from which FasterTransformer's backend reads the model's numbers."""

from ft_serving.core.dtypes import DType
from ft_serving.core.families.base import Architecture, Family


def render_config_ini(
    family: Family, architecture: Architecture, dtype: DType, model_name: str
) -> str:
    """Return the text of config.ini.

    The keys are those that `GptJTritonModel.cc` of FasterTransformer reads; one that is missing
    ends the whole server.

    Args:
        family: Names the section.
        architecture: The model's numbers.
        dtype: Format of the stored weights.
        model_name: For people; nothing depends on it.
    """
    values = {
        "model_name": model_name,
        "head_num": architecture.heads,
        "size_per_head": architecture.head_size,
        "inter_size": architecture.inner,
        "num_layer": architecture.layers,
        "vocab_size": architecture.vocabulary,
        "rotary_embedding": architecture.rotary,
        "start_id": architecture.start_id,
        "end_id": architecture.end_id,
        "weight_data_type": dtype.value,
    }
    lines = [f"[{family.section}]", *(f"{key} = {value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
