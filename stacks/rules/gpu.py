"""Rules between a model and GPUs: it divides, it fits, and there are such nodes."""

from collections.abc import Iterator
from dataclasses import replace

from pydantic.alias_generators import to_camel

from stacks.engines import Demand, Engine, engine_for
from stacks.errors import Problem, any_of, shown
from stacks.gpus import GPUS, GPUS_PER_NODE, NODE_LABELS, NONE
from stacks.models import blueprint_of
from stacks.quantities import in_gib
from stacks.resolved import demand_of
from stacks.sections import Cost, GpuSettings, Model, Scheduling, Serving, TolerationOperator


def _parallelism(model: Model, gpu: GpuSettings) -> Iterator[Problem]:
    blueprint = blueprint_of(model)
    if blueprint is None:
        return
    for misfit in blueprint.shape.parallelism_misfits(gpu.tensor_parallel, gpu.pipeline_parallel):
        sizes = [size for size in misfit.valid if size <= GPUS_PER_NODE]
        path = f"gpu.{to_camel(misfit.number)}"
        yield Problem(path, misfit.rule, str(misfit.got), any_of(sizes))


def _one_node(gpu: GpuSettings) -> Iterator[Problem]:
    if gpu.count > GPUS_PER_NODE:
        rule = (
            "tensorParallel times pipelineParallel must be at most the "
            f"{GPUS_PER_NODE} GPUs of a node"
        )
        got = f"{gpu.tensor_parallel} times {gpu.pipeline_parallel}"
        yield Problem("gpu", rule, got, "fewer, larger GPUs")


def _fits(model: Model, gpu: GpuSettings, serving: Serving) -> Iterator[Problem]:
    blueprint, engine = blueprint_of(model), engine_for(serving.engine, gpu.model)
    if blueprint is None or gpu.model is None or not engine.serves_on(gpu.model):
        return
    if any(_parallelism(model, gpu)) or any(_one_node(gpu)):
        return
    demand = demand_of(blueprint, model, gpu, serving)
    memory, load = engine.gpu_memory(demand), demand.load
    if memory.total > gpu.model.memory_bytes:
        yield Problem(
            "gpu",
            f"each must hold {in_gib(memory.weights)} of weights in {demand.precision}, "
            f"{in_gib(memory.cache)} of keys and values for {load.batch} rows of {load.tokens} "
            f"tokens, and {in_gib(memory.workspace)} of workspace, {in_gib(memory.total)} in all",
            f"{gpu.type} with {in_gib(gpu.model.memory_bytes)}",
            ", or ".join(_proposals(engine, gpu.type, demand))
            or "shorter texts, or a smaller model",
        )


def _proposals(engine: Engine, gpu: str, demand: Demand) -> Iterator[str]:
    """Yield what makes a model fit: one setting at a time, the nearest value of each."""

    def fits(gpu: str, demand: Demand) -> bool:
        offered = GPUS[gpu]
        return (
            engine.serves_on(offered)
            and offered.supports(demand.precision)
            and engine.gpu_memory(demand).total <= offered.memory_bytes
        )

    most = GPUS_PER_NODE // demand.pipeline_parallel
    for size in demand.blueprint.shape.tensor_parallel_sizes(most):
        if size > demand.tensor_parallel and fits(gpu, replace(demand, tensor_parallel=size)):
            yield f"gpu.tensorParallel {size}"
            break
    yield from [f"gpu.type {name}" for name in GPUS if fits(name, demand)][:1]
    for smaller in demand.smaller_batches():
        if fits(gpu, smaller):
            yield f"serving.batch {smaller.load.batch}"
            break


def _scheduling(gpu: GpuSettings, scheduling: Scheduling) -> Iterator[Problem]:
    labels = NODE_LABELS.get(scheduling.node_labels)
    if gpu.model and labels and not labels.requirement(gpu.type):
        able = [name for name, each in NODE_LABELS.items() if each.requirement(gpu.type)]
        having = [name for name in GPUS if labels.requirement(name)]
        yield Problem(
            "scheduling.nodeLabels",
            f"must be one that has a label for {gpu.type}",
            scheduling.node_labels,
            f"{any_of([*able, NONE])}, or gpu.type {any_of(having)}",
        )
    for index, toleration in enumerate(scheduling.tolerations):
        if (toleration.operator is TolerationOperator.EQUAL) != (toleration.value is not None):
            yield Problem(
                f"scheduling.tolerations[{index}].value",
                "must be set with operator Equal, and only with it",
                shown(toleration.value),
                "operator Equal and a value, or Exists and none",
            )


def _cost(cost: Cost) -> Iterator[Problem]:
    for name, price in cost.gpu_hour.items():
        if name not in GPUS:
            rule = "must be the price of a GPU of the catalogue"
            yield Problem(f"cost.gpuHour.{name}", rule, shown(price), any_of(list(GPUS)))


RULES = (_parallelism, _one_node, _fits, _scheduling, _cost)
