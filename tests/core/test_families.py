"""A second family needs entries in two tables, and everybody asks these."""

from dataclasses import replace
from pathlib import Path

import pytest

from ft_serving.client.model import ModelDescription
from ft_serving.core.dtypes import DType
from ft_serving.core.families import FAMILIES
from ft_serving.core.families.architecture import Shape
from ft_serving.core.families.base import Blueprint
from ft_serving.core.families.gptj import GPTJ
from ft_serving.core.manifest import read_manifest
from ft_serving.server.engine import NumpyEngine, numpy_engine
from ft_serving.server.engine.gptj import GptJLayers
from stacks.sizing import PeakLoad, cpu_memory, gpu_memory, release_bytes
from tests.client.fake_triton import config
from tests.server.engine.scripted import request
from tests.weights.models import CONFIG, random_checkpoint
from tests.weights.world import World

OTHER = replace(
    GPTJ,
    model_type="other",
    triton_model_type="Other",
    section="otherini",
    config_ini={**GPTJ.config_ini, "rotary": "rotary_width"},
    context=4096,
    hidden_buffers=9,
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setitem(FAMILIES, "other", OTHER)
    layers = {**numpy_engine.LAYERS, "other": GptJLayers.open}
    monkeypatch.setattr(numpy_engine, "LAYERS", layers)
    return World(tmp_path)


def test_a_second_family_is_converted_and_computed(world: World) -> None:
    random_checkpoint(world.checkpoint, {**CONFIG, "model_type": "other"})
    release = world.prepare().folder
    weights = release / "fastertransformer" / "1"
    config_ini = (weights / "config.ini").read_text()
    assert config_ini.startswith("[otherini]\n")
    assert "\nrotary_width = 16\n" in config_ini
    config_pbtxt = (release / "fastertransformer" / "config.pbtxt").read_text()
    assert 'key: "model_type" value { string_value: "Other" }' in config_pbtxt
    assert read_manifest(release).family == "other"
    (result,) = NumpyEngine.open(weights, 2).generate([request([[5, 6]], 3)])
    assert result.is_final


def test_a_client_takes_the_context_of_the_family_that_a_server_names(world: World) -> None:
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
