"""The shipped model through the pipeline and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ft_serving.weights import convert
from tests.oracles.fastertransformer import read_back
from tests.serving import TINY_GPTJ
from tests.weights.world import converted_folder


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_every_tensor_comes_back_bit_for_bit(
    tmp_path: Path, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Smaller than most tensors, and no multiple of their rows.
    monkeypatch.setattr(convert, "BLOCK_BYTES", 10_000)
    folder = converted_folder(TINY_GPTJ, tmp_path, tensor_parallel=ranks)
    config = json.loads((TINY_GPTJ / "config.json").read_text())
    found = read_back(folder, layers=config["n_layer"], hidden=config["n_embd"], ranks=ranks)
    source = load_file(TINY_GPTJ / "model.safetensors")
    assert found.keys() == source.keys()
    for name, array in source.items():
        assert np.array_equal(found[name], array), name
