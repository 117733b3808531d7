"""The shipped model through the pipeline and back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from ft_serving.core.dtypes import DType
from tests.oracles.fastertransformer import Array, read_back
from tests.oracles.gptj import greedy_choices
from tests.weights.world import converted_folder

MODEL = Path(__file__).parents[2] / "models" / "tiny-gptj"
CONFIG: dict[str, Any] = json.loads((MODEL / "config.json").read_text())
GOLDEN: dict[str, Any] = json.loads((MODEL / "golden.json").read_text())


def converted(tmp_path: Path, ranks: int) -> dict[str, Array]:
    return read_back(
        converted_folder(MODEL, tmp_path, DType.FP32, ranks),
        layers=CONFIG["n_layer"],
        hidden=CONFIG["n_embd"],
        ranks=ranks,
    )


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_every_tensor_comes_back_bit_for_bit(tmp_path: Path, ranks: int) -> None:
    source = load_file(MODEL / "model.safetensors")
    found = converted(tmp_path, ranks)
    assert found.keys() == source.keys()
    for name, array in source.items():
        assert np.array_equal(found[name], array), name


def test_the_converted_model_gives_the_golden_answer(tmp_path: Path) -> None:
    prompt, answer = GOLDEN["input_ids"], GOLDEN["output_ids"]
    weights = converted(tmp_path, ranks=2)
    assert greedy_choices(weights, CONFIG, prompt, answer, epsilon=1e-6) == answer
