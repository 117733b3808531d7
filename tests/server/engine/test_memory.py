"""Memory is reckoned with, and requests that it does not suffice for are refused."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ft_serving.core.families import architecture
from ft_serving.core.families.base import Blueprint
from ft_serving.core.families.gptj import GPTJ
from ft_serving.server import engine_memory
from ft_serving.server.engine import numpy_model
from ft_serving.server.engine.config import read_config
from ft_serving.server.engine.gptj import GptJLayers
from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.engine.numpy_model import NumpyModel
from ft_serving.server.engine.weight_files import read_weights
from ft_serving.server.engine_memory import ENGINE_BASE_BYTES, cache_bytes, workspace_bytes
from ft_serving.server.errors import RequestError
from ft_serving.server.requests.request import GenerationRequest
from stacks.sizing import PeakLoad, cpu_memory
from tests.generating import generate
from tests.server.engine.ft_files import Shape, random_weights, write_folder
from tests.server.engine.scripted import prefilled, request

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("content", "expected"),
    [("1073741824\n", 2**30), ("max\n", MACHINE), (f"{2**60}\n", MACHINE), (None, MACHINE)],
)
def test_the_containers_limit_counts_where_it_is_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, expected: int
) -> None:
    file = tmp_path / "memory.max"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(engine_memory, "_CGROUP_LIMIT", file)
    assert engine_memory.memory_limit() == expected


SHAPE = Shape()
BLUEPRINT = Blueprint(
    family=GPTJ,
    shape=architecture.Shape(
        heads=SHAPE.heads,
        head_size=SHAPE.head_size,
        inner=SHAPE.inner,
        layers=SHAPE.layers,
        vocabulary=SHAPE.vocabulary,
        context=512,
    ),
)


@pytest.fixture(scope="module")
def model(folder: Path) -> NumpyModel:
    config = read_config(folder)
    return NumpyModel(
        config.family, GptJLayers(config.architecture, read_weights(folder, config, 1))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("model"), SHAPE, random_weights(SHAPE))


def test_what_a_stack_gives_its_server_suffices_for_its_load_and_for_no_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = cpu_memory(BLUEPRINT, PeakLoad(batch=8, input_length=256, output_length=64)).total
    monkeypatch.setattr(numpy_model, "memory_limit", lambda: given)
    engine = NumpyEngine.open(folder, 1)
    engine.plan(request([[1] * 256] * 8, 64))
    for rows, prompt, output in ((9, 256, 64), (8, 256, 65), (8, 257, 63)):
        with pytest.raises(RequestError, match=f"^{rows} rows of {prompt + output} tokens need"):
            engine.plan(request([[1] * prompt] * rows, output))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (request([[1]] * 1024, 1, beam_width=64), "65536 rows of 2 tokens need"),
        (request([[1]], 2_000_000_000), r"of 2000000001 tokens need \d+\.\d GiB.*fewer rows or"),
    ],
    ids=["the logits of many beams", "a long text"],
)
def test_what_does_not_fit_is_refused_before_it_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, asked: GenerationRequest, message: str
) -> None:
    engine = NumpyEngine.open(folder, 1)
    monkeypatch.setattr(numpy_model, "memory_limit", lambda: ENGINE_BASE_BYTES + (64 << 20))
    engine.plan(request([[1]] * 1024, 1))
    with pytest.raises(RequestError, match=message):
        generate(engine, [asked])


@pytest.mark.parametrize(("rows", "prompt"), [(2, 700), (300, 4)], ids=["long", "wide"])
def test_no_more_is_taken_than_what_is_reckoned_with(
    model: NumpyModel, rows: int, prompt: int
) -> None:
    needed = cache_bytes(BLUEPRINT.shape, rows * (prompt + 1)) + workspace_bytes(
        BLUEPRINT, rows=rows, prompt=prompt
    )
    prompts = np.random.default_rng(0).integers(3, 211, (rows, prompt)).astype(np.uint32)
    tracemalloc.start()
    block = prefilled(model, list(prompts), prompt + 1)
    block.logits()
    block.select(np.arange(rows)[::-1])
    model.new_batch([block]).step(prompts[:, 0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 1.1 * needed, f"{peak} bytes were taken, {needed} reckoned with"
