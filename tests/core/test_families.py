"""Whoever needs a family's facts asks its table."""

from dataclasses import replace

import pytest

from ft_serving.client.model import ModelDescription
from ft_serving.core.dtypes import DType
from ft_serving.core.families import FAMILIES
from ft_serving.core.families.architecture import Shape
from ft_serving.core.families.base import Blueprint
from ft_serving.core.families.gptj import GPTJ
from stacks.sizing import PeakLoad, cpu_memory, gpu_memory, release_bytes
from tests.client.fake_triton import config

OTHER = replace(
    GPTJ,
    model_type="other",
    triton_model_type="Other",
    context=4096,
    hidden_buffers=9,
)


def test_a_client_takes_the_context_of_the_family_that_a_server_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FAMILIES, "other", OTHER)

    def context(**parameters: str) -> int | None:
        return ModelDescription.from_config(config(parameters=parameters)).limits.context_length

    assert context(model_type="Other") == 4096
    assert context(model_type="Other", context_length="512") == 512
    assert context(model_type="GPT-J") == context(model_type="unknown") == context() == 2048


def test_a_stack_sizes_the_tensors_and_buffers_of_the_family() -> None:
    shape = Shape(heads=4, head_size=32, inner=512, layers=4, vocabulary=1001, context=512)
    gptj = Blueprint(family=GPTJ, shape=shape)
    without_bias = replace(
        OTHER, rules=tuple(rule for rule in GPTJ.rules if rule.target != "model.lm_head.bias")
    )
    other = Blueprint(family=without_bias, shape=shape)
    load = PeakLoad(batch=2, input_length=16, output_length=16)
    assert release_bytes(gptj, DType.FP16) - release_bytes(other, DType.FP16) == 1001 * 2
    of_gptj, of_other = (gpu_memory(each, DType.FP16, 2, 1, load) for each in (gptj, other))
    assert of_gptj.weights - of_other.weights == 1001 * 2
    # Ranks of half precision have a multiple of 8 rows of the head.
    assert of_gptj.workspace - of_other.workspace == 1008 * 2
    assert cpu_memory(other, load).workspace - cpu_memory(gptj, load).workspace == (
        2 * 128 * (load.batch + load.input_length) * 4
    )
