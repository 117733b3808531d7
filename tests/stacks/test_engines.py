"""The table of engines: what a stack gets by its GPU, and what each row has to agree with."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ft_serving.core.dtypes import DType
from stacks.engines import ENGINES, Engine
from stacks.gpus import GPUS
from tests.images.dockerfile import read_dockerfile
from tests.stacks.documents import CPU, GPU, MISSING, changed, config, problems

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


def test_fastertransformer_is_compiled_for_gpus_up_to_hopper() -> None:
    fastertransformer = ENGINES["fastertransformer"]
    for gpu in GPUS.values():
        assert fastertransformer.serves_on(gpu) == (gpu.compute_capability <= (9, 0))


def test_a_gpu_is_refused_with_an_engine_that_has_code_for_it(
    table: Table,
) -> None:
    cpu, fastertransformer = ENGINES["cpu"], ENGINES["fastertransformer"]
    new = replace(fastertransformer, name="new", capabilities=frozenset({(10, 0)}))
    table(cpu, fastertransformer, new)
    (line,) = problems(GPU, {"gpu.type": "B200", "serving.engine": "fastertransformer"})
    assert line.endswith(", or serving.engine new")


def test_a_format_that_an_engine_lacks_is_refused(table: Table) -> None:
    cpu, fastertransformer = ENGINES["cpu"], ENGINES["fastertransformer"]
    table(cpu, replace(fastertransformer, dtypes=frozenset({DType.FP16})))
    (line,) = problems(GPU, {"model.computeDtype": "bf16"})
    assert line == (
        "model.computeDtype: must be a format that engine fastertransformer computes in on "
        "RTX_A5000; got bf16; use fp16"
    )


def test_no_gpu_is_proposed_that_the_engine_has_no_code_for() -> None:
    (line,) = problems(GPU, {"gpu.type": "H200", "serving.batch": 80, "model.dtype": "fp32"})
    assert "159.7 GiB in all" in line, "more than an H200 has, and less than a B200"
    assert "B200" not in line
