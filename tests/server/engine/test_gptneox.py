"""GPT-NeoX's layers, against the logits of Hugging Face's class, from converted checkpoints.

models/tiny-neox/expected_logits.py computed them, and says how the random weights are made.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.synthetic import tensor_shapes
from ft_serving.core.dtypes import DType
from ft_serving.server.engine.config import read_config
from ft_serving.server.engine.numpy_engine import LAYERS
from ft_serving.server.engine.numpy_model import NumpyModel
from ft_serving.server.engine.weight_files import read_weights
from tests.server.engine.scripted import logits_of
from tests.serving import TINY_NEOX
from tests.weights.world import converted_folder

EXPECTED = json.loads((Path(__file__).parents[2] / "data" / "neox-logits.json").read_text())
SEED = 20220621


def write_random(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir()
    text = json.dumps(config)
    (folder / "config.json").write_text(text)
    generator = np.random.RandomState(SEED)
    weights = {}
    for name, shape in sorted(tensor_shapes(text.encode()).items()):
        drawn = generator.standard_normal(shape) * 0.15 + ("norm.weight" in name)
        weights[name] = drawn.astype(np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def open_model(checkpoint: Path, root: Path, tensor_parallel: int) -> NumpyModel:
    folder = converted_folder(checkpoint, root, DType.FP32, tensor_parallel)
    config = read_config(folder)
    weights = read_weights(folder, config, tensor_parallel)
    return NumpyModel(config.family, LAYERS["gpt_neox"](config.architecture, weights))


def assert_expected(case: dict[str, Any], model: NumpyModel) -> None:
    text = np.array(case["input_ids"], np.uint32)
    for prompt in (1, len(text) - 2):
        found = logits_of(model, text, prompt)[:, :: case["each"]]
        np.testing.assert_allclose(found, case["logits"][prompt - 1 :], rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", EXPECTED["random"])
def test_logits_are_hugging_faces_for_each_gelu_and_residual(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    checkpoint = write_random(tmp_path / "checkpoint", case["config"])
    assert_expected(case, open_model(checkpoint, tmp_path / "storage", 1))


def test_the_trained_models_logits_are_hugging_faces_from_any_ranks_files(tmp_path: Path) -> None:
    text = np.array(EXPECTED["trained"]["input_ids"], np.uint32)
    models = [open_model(TINY_NEOX, tmp_path, ranks) for ranks in (1, 2, 4)]
    assert_expected(EXPECTED["trained"], models[0])
    first, *others = (logits_of(model, text, 5) for model in models)
    for other in others:
        np.testing.assert_array_equal(first, other)
