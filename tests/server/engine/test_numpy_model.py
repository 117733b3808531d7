"""The numpy model's logits, against the definition and row by row."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ft_serving.core.arrays import TokenArray
from ft_serving.server.engine.config import read_config
from ft_serving.server.engine.gptj import GptJLayers
from ft_serving.server.engine.numpy_model import NumpyModel
from ft_serving.server.engine.weight_files import read_weights
from tests.oracles import gptj
from tests.server.engine.ft_files import Shape, random_weights, write_folder
from tests.server.engine.scripted import logits_of, prefilled

SHAPE = Shape()
WEIGHTS = random_weights(SHAPE)
FASTER_TRANSFORMERS_EPSILON = 1e-6


def tokens(length: int, seed: int = 0) -> TokenArray:
    return np.random.default_rng(seed).integers(0, 211, length).astype(np.uint32)


def open_model(folder: Path, tensor_parallel: int = 1) -> NumpyModel:
    config = read_config(folder)
    weights = read_weights(folder, config, tensor_parallel)
    return NumpyModel(config.family, GptJLayers(config.architecture, weights))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("model"), SHAPE, WEIGHTS)


@pytest.fixture(scope="module")
def model(folder: Path) -> NumpyModel:
    return open_model(folder)


def defined(
    text: TokenArray, shape: Shape = SHAPE, epsilon: float = FASTER_TRANSFORMERS_EPSILON
) -> NDArray[np.float64]:
    return gptj.logits(WEIGHTS, shape.hugging_face, text.tolist(), epsilon=epsilon)


def assert_defined(folder: Path, text: TokenArray, prompt: int, shape: Shape = SHAPE) -> None:
    """Compare with the definition, from the prompt's last token on."""
    expected = defined(text, shape)
    found = logits_of(open_model(folder), text, prompt)
    np.testing.assert_allclose(found, expected[prompt - 1 :], rtol=0, atol=5e-5)


@pytest.mark.parametrize("prompt", [1, 7, 256, 257])
def test_logits_are_those_of_the_definition_behind_any_prompt(folder: Path, prompt: int) -> None:
    assert_defined(folder, tokens(prompt + 3), prompt)


def test_the_layer_norms_epsilon_is_fastertransformers(folder: Path) -> None:
    text = tokens(6)
    hugging_faces = defined(text, epsilon=1e-5)
    assert abs(defined(text) - hugging_faces)[-1].max() > 1e-4, "the two can be told apart"
    assert_defined(folder, text, 6)


def test_whole_heads_can_be_rotated(tmp_path: Path) -> None:
    shape = Shape(rotary=24)
    assert_defined(write_folder(tmp_path, shape, WEIGHTS), tokens(9), 4, shape)


def test_positions_beyond_the_first_table_of_rotations_are_right(model: NumpyModel) -> None:
    text = tokens(2060)
    batch = model.new_batch([prefilled(model, [text[:2040]], 2060)])
    for place in range(2040, 2059):
        batch.step(text[place : place + 1])
    expected = prefilled(model, [text], 2060).logits()
    np.testing.assert_allclose(batch.step(text[2059:]), expected, rtol=0, atol=1e-4)


def test_selected_rows_go_on_from_their_own_past(model: NumpyModel) -> None:
    texts = [tokens(5, seed) for seed in range(3)]
    block = prefilled(model, texts, 10, rows=4)
    going_on = [texts[2], texts[0], texts[2], texts[0]]
    for chosen, following in (([2, 0, 2, 0], [7, 8, 9, 10]), ([1, 2], [11, 12])):
        block.select(np.array(chosen))
        found = model.new_batch([block]).step(np.array(following, np.uint32))
        if len(chosen) == 2:
            going_on = [going_on[row] for row in chosen]
        going_on = [
            np.append(text, token).astype(np.uint32)
            for text, token in zip(going_on, following, strict=True)
        ]
        for row, text in enumerate(going_on):
            np.testing.assert_array_equal(found[row], logits_of(model, text, 5)[-1])


def test_rows_go_their_own_ways_whatever_they_are_computed_with(model: NumpyModel) -> None:
    # The first two have equal prompts, which are computed once.
    texts = [np.append(tokens(5, 1), row).astype(np.uint32) for row in (7, 8)]
    texts += [tokens(length, length) for length in (9, 3)]
    blocks = [prefilled(model, [text[:-1] for text in texts[:2]], 6)]
    blocks += [prefilled(model, [text[:-1]], len(text)) for text in texts[2:]]
    behind_prompts = np.concatenate([block.logits() for block in blocks])
    step = model.new_batch(blocks).step(np.array([text[-1] for text in texts]))
    for row, text in enumerate(texts):
        alone = logits_of(model, text, len(text) - 1)
        np.testing.assert_array_equal([behind_prompts[row], step[row]], alone)


def test_a_prompt_is_computed_in_pieces_and_one_left_half_way_harms_no_other(
    model: NumpyModel,
) -> None:
    texts = [tokens(300, seed) for seed in (1, 1, 2)]
    block = model.new_block(3, 301)
    pieces = block.prefill(0, texts[0])
    for _ in range(3):
        next(pieces)
    counts = [sum(1 for _ in block.prefill(row, texts[row])) for row in (1, 2)]
    # A layer has four products, and attention to 256 tokens at once.
    assert counts == [SHAPE.layers * (4 + 2)] * 2, "an equal prompt has its own right"
    block.select(np.array([1, 2]))
    for row in (1, 2):
        np.testing.assert_array_equal(block.logits()[row - 1], logits_of(model, texts[row], 300)[0])
