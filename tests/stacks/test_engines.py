"""The table of engines: what a stack gets by its GPU, and what each row has to agree with."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ft_serving.core.dtypes import Precision
from ft_serving.core.release import ReleaseFormat
from ft_serving.server.vllm.settings import EngineSettings
from stacks.engines import ENGINES, Engine
from stacks.gpus import GPUS
from tests.images.dockerfile import read_dockerfile
from tests.stacks.documents import CPU, GPU, MISSING, VLLM, changed, config, problems

Table = Callable[..., None]


@pytest.fixture
def table() -> Iterator[Table]:
    """Puts other rows into the table for one test; their order counts."""
    before = tuple(ENGINES.values())

    def put(*rows: Engine) -> None:
        ENGINES.clear()
        ENGINES.update({row.name: row for row in rows})

    yield put
    put(*before)


def test_a_stack_gets_the_first_engine_of_the_table_that_can_serve_on_what_it_has(
    table: Table,
) -> None:
    cpu, fastertransformer = ENGINES["cpu"], ENGINES["fastertransformer"]
    ampere = replace(fastertransformer, name="new", capabilities=frozenset({(8, 6)}))
    table(cpu, ampere, fastertransformer)
    unnamed = changed(GPU, {"serving.engine": MISSING})
    assert config(CPU).engine is cpu
    assert config(unnamed).engine is ampere
    assert config(unnamed, {"gpu.type": "H100"}).engine is fastertransformer
    assert config(GPU).engine is fastertransformer, "a stack may name another one"


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_an_engine_s_image_is_there_and_has_no_default_for_what_a_stack_must_give(
    engine: Engine,
) -> None:
    defaults = read_dockerfile(engine.image).defaults
    assert {name for name, default in defaults.items() if not default} == set(engine.build_args)


def test_a_gpu_is_served_by_vllm_where_it_has_code_for_it() -> None:
    without = {name for name, gpu in GPUS.items() if not ENGINES["vllm"].serves_on(gpu)}
    assert without == {"V100", "V100_32GB"}
    assert config(VLLM).engine is ENGINES["vllm"]
    older = {"gpu.type": "V100_32GB", "gpu.pipelineParallel": 2}
    assert config(VLLM, older).engine is ENGINES["fastertransformer"]


def test_all_that_decides_what_is_compiled_is_in_the_cache_s_name() -> None:
    changes: list[dict[str, object]] = [
        {},
        {"gpu.type": "L4"},
        {"gpu.tensorParallel": 2},
        {"serving.batch": 2},
        {"model.computeDtype": "bf16"},
    ]
    names = [config(VLLM, it).cache_key for it in changes]
    assert names[0] == "vllm-0.26.0-RTX_A5000-tp1-fp16-batch4"
    assert len(set(names)) == len(changes)
    assert config(VLLM, {"replicas": {"max": 4}}).cache_key == names[0]
    assert config(GPU).cache_key is config(CPU).cache_key is None


def test_vllm_is_told_its_limits() -> None:
    stack = config(VLLM, {"gpu.type": "L4", "gpu.tensorParallel": 2, "model.computeDtype": "fp8"})
    told = stack.engine.environment(stack.demand, 8)
    assert EngineSettings.from_environment(told) == EngineSettings(
        tensor_parallel=2,
        batch=4,
        cache_bytes=stack.engine.gpu_memory(stack.demand).cache,
        precision=Precision.FP8,
    )


def test_one_release_serves_any_number_of_gpus_and_fp8() -> None:
    release = config(VLLM, {"gpu.type": "L4"}).release
    assert release.format is ReleaseFormat.HUGGINGFACE
    for changes in ({"gpu.tensorParallel": 4}, {"model.computeDtype": "fp8"}):
        assert config(VLLM, {"gpu.type": "L4", **changes}).release == release


def test_a_gpu_is_refused_with_an_engine_that_has_code_for_it(
    table: Table,
) -> None:
    cpu, fastertransformer = ENGINES["cpu"], ENGINES["fastertransformer"]
    new = replace(fastertransformer, name="new", capabilities=frozenset({(10, 0)}))
    table(cpu, fastertransformer, new)
    (line,) = problems(GPU, {"gpu.type": "B200", "serving.engine": "fastertransformer"})
    assert line.endswith(", or serving.engine new")


def test_no_gpu_is_proposed_that_the_engine_has_no_code_for() -> None:
    (line,) = problems(GPU, {"gpu.type": "H200", "serving.batch": 80, "model.dtype": "fp32"})
    assert "159.7 GiB in all" in line, "more than an H200 has, and less than a B200"
    assert "B200" not in line
