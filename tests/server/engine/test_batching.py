"""A request gets the same bits whatever it is computed with."""

import numpy as np
import pytest

from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.request import GenerationRequest, GenerationResult
from tests.generating import generate
from tests.server.engine.ft_files import Shape, random_weights, write_folder
from tests.server.engine.scripted import request

# Matrices of every kind: some stay in the cache, some are multiplied as a whole, and the
# feed-forward layer and the output head are cut into blocks.
LARGE = Shape(heads=4, head_size=64, inner=3648, layers=1, vocabulary=3701, rotary=32)


@pytest.fixture(scope="module", params=[Shape(), LARGE], ids=["small", "large"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NumpyEngine:
    shape = request.param
    folder = write_folder(tmp_path_factory.mktemp("model"), shape, random_weights(shape))
    return NumpyEngine.open(folder, 1)


def requests() -> list[GenerationRequest]:
    """Of different lengths and parameters; every kind of selection is among them."""
    generator = np.random.default_rng(5)

    def prompts(*lengths: int) -> list[list[int]]:
        return [generator.integers(3, 211, length).tolist() for length in lengths]

    return [
        request(prompts(12), 9, is_return_log_probs=True),
        request(prompts(1), 4, is_return_log_probs=True),
        request(prompts(3, 12, 7), [3, 14, 8], is_return_log_probs=True),
        request(prompts(12, 5), 10, beam_width=3, is_return_log_probs=True),
        request(
            prompts(40, 6),
            12,
            runtime_top_k=[8, 0],
            runtime_top_p=[0.0, 0.9],
            temperature=[1.5, 0.8],
            random_seed=[3, 4],
            is_return_log_probs=True,
        ),
        request(prompts(12), 6, repetition_penalty=1.3, is_return_log_probs=True),
    ]


def assert_same(first: GenerationResult, second: GenerationResult) -> None:
    np.testing.assert_array_equal(first.output_ids, second.output_ids)
    np.testing.assert_array_equal(first.sequence_length, second.sequence_length)
    assert first.cum_log_probs is not None
    assert second.cum_log_probs is not None
    np.testing.assert_array_equal(first.cum_log_probs, second.cum_log_probs)
    np.testing.assert_array_equal(first.output_log_probs, second.output_log_probs)


def test_requests_get_the_same_bits_alone_merged_and_in_any_order(engine: NumpyEngine) -> None:
    asked = requests()
    alone = [generate(engine, [one])[0] for one in asked]
    for order in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 4]):
        merged = generate(engine, [asked[index] for index in order])
        for result, index in zip(merged, order, strict=True):
            assert_same(alone[index], result)


def test_requests_get_the_same_bits_when_they_join_others_under_way(engine: NumpyEngine) -> None:
    asked = requests()
    jobs = [GenerationJob(engine.plan(one), lambda _: None, lambda: False) for one in asked]
    schedule = engine.schedule()
    for job in jobs:
        schedule.add([job])
        for _ in range(3):
            schedule.turn()
    while not schedule.is_idle:
        schedule.turn()
    for one, job in zip(asked, jobs, strict=True):
        assert_same(generate(engine, [one])[0], job.result())


def test_a_row_gets_the_same_bits_beside_up_to_seventy_others(engine: NumpyEngine) -> None:
    texts = [[(7 * row + place) % 200 + 3 for place in range(4)] for row in range(70)]
    alone = generate(engine, [request(texts[:1], 2, is_return_log_probs=True)])[0]
    for count in (2, 5, 16, 17, 33, 70):
        together = generate(engine, [request(texts[:count], 2, is_return_log_probs=True)])[0]
        np.testing.assert_array_equal(together.output_ids[:1], alone.output_ids)
        assert together.cum_log_probs is not None
        np.testing.assert_array_equal(together.cum_log_probs[:1], alone.cum_log_probs)


def test_padding_changes_nothing_but_the_counted_length(engine: NumpyEngine) -> None:
    tight = generate(engine, [request([[5, 6, 7]], 5)])[0]
    padded = {
        "input_ids": np.array([[5, 6, 7, 0, 0]], np.uint32),
        "input_lengths": np.array([3]),
        "request_output_len": np.array([5]),
    }
    loose = generate(engine, [padded])[0]
    np.testing.assert_array_equal(loose.output_ids[..., :8], tight.output_ids)
    assert loose.output_ids[0, 0, 8:].tolist() == [2, 2], "padding moves behind, as end ids"
    assert tight.sequence_length.tolist() == [[8]]
    assert loose.sequence_length.tolist() == [[10]], "FasterTransformer counts the padding"
