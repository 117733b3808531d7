"""The files of each model are those of its card, and make a checkpoint that transformers reads."""

import hashlib
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from benchmarks.synthetic import tensor_shapes
from tests.serving import TINY_GPTJ, TINY_NEOX


@pytest.mark.parametrize(("model", "parameters"), [(TINY_GPTJ, 1_053_440), (TINY_NEOX, 857_216)])
def test_the_checkpoint_is_what_transformers_reads(model: Path, parameters: int) -> None:
    weights = load_file(model / "model.safetensors")
    shapes = tensor_shapes((model / "config.json").read_bytes())
    assert {name: array.shape for name, array in weights.items()} == shapes
    assert sum(array.size for array in weights.values()) == parameters
    assert {str(array.dtype) for array in weights.values()} == {"float32"}
    with safe_open(model / "model.safetensors", framework="numpy") as checkpoint:
        assert checkpoint.metadata() == {"format": "pt"}, "transformers refuses a file without it"


@pytest.mark.parametrize("model", [TINY_GPTJ, TINY_NEOX])
def test_the_model_card_gives_the_checksums_of_the_files(model: Path) -> None:
    card = (model / "README.md").read_text(encoding="utf-8")
    names = ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]
    for name in [*names, *(text.name for text in model.glob("*.txt") if text.stem == "rhymes")]:
        checksum = hashlib.sha256((model / name).read_bytes()).hexdigest()
        assert f"`{name}` | `{checksum}`" in card, f"README.md describes another {name}"
