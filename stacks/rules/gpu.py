"""Between a model and GPUs: does it divide, does it fit, are there such nodes."""

from stacks.engines import engine_for
from stacks.errors import Problem, any_of, shown
from stacks.gpus import GPUS, GPUS_PER_NODE, NODE_LABELS, NONE
from stacks.models import dimensions_of
from stacks.proposals import divisors, gpu_proposals
from stacks.quantities import in_gib
from stacks.resolved import demand_of
from stacks.rules.base import Problems, Rule
from stacks.sections import Cost, GpuSettings, Model, Scheduling, Serving, TolerationOperator


def _parallelism(model: Model, gpu: GpuSettings) -> Problems:
    dimensions = dimensions_of(model)
    if dimensions is None:
        return
    heads, inner, tensor = dimensions.heads, dimensions.inner_size, gpu.tensor_parallel
    if heads % tensor or inner % tensor:
        valid = [n for n in divisors(heads, GPUS_PER_NODE) if inner % n == 0]
        yield Problem(
            path="gpu.tensorParallel",
            rule=f"must divide the model's {heads} attention heads and its inner size {inner}",
            got=str(tensor),
            use=any_of(valid),
        )
    if dimensions.layers % gpu.pipeline_parallel:
        yield Problem(
            path="gpu.pipelineParallel",
            rule=f"must divide the model's {dimensions.layers} layers",
            got=str(gpu.pipeline_parallel),
            use=any_of(divisors(dimensions.layers, GPUS_PER_NODE)),
        )


def _one_node(gpu: GpuSettings) -> Problems:
    if gpu.count > GPUS_PER_NODE:
        yield Problem(
            path="gpu",
            rule="tensorParallel times pipelineParallel must be at most the "
            f"{GPUS_PER_NODE} GPUs of a node",
            got=f"{gpu.tensor_parallel} times {gpu.pipeline_parallel}",
            use="fewer, larger GPUs",
        )


def _fits(model: Model, gpu: GpuSettings, serving: Serving) -> Problems:
    dimensions, engine = dimensions_of(model), engine_for(serving.engine, gpu.model)
    if dimensions is None or gpu.model is None or not engine.serves_on(gpu.model):
        return
    if any(_parallelism(model, gpu)) or any(_one_node(gpu)):
        return
    demand = demand_of(dimensions, model, gpu, serving)
    memory, load = engine.gpu_memory(demand), demand.load
    if memory.total > gpu.model.memory_bytes:
        yield Problem(
            path="gpu",
            rule=f"each must hold {in_gib(memory.weights)} of weights in {demand.compute_dtype}, "
            f"{in_gib(memory.cache)} of keys and values for {load.batch} rows of {load.tokens} "
            f"tokens, and {in_gib(memory.workspace)} of workspace, {in_gib(memory.total)} in all",
            got=f"{gpu.type} with {in_gib(gpu.model.memory_bytes)}",
            use=gpu_proposals(engine, gpu.type, demand),
        )


def _scheduling(gpu: GpuSettings, scheduling: Scheduling) -> Problems:
    labels = NODE_LABELS.get(scheduling.node_labels)
    if gpu.model and labels and not labels.requirement(gpu.type):
        able = [name for name, each in NODE_LABELS.items() if each.requirement(gpu.type)]
        having = [name for name in GPUS if labels.requirement(name)]
        yield Problem(
            path="scheduling.nodeLabels",
            rule=f"must be one that has a label for {gpu.type}",
            got=scheduling.node_labels,
            use=f"{any_of([*able, NONE])}, or gpu.type {any_of(having)}",
        )
    for index, toleration in enumerate(scheduling.tolerations):
        if (toleration.operator is TolerationOperator.EQUAL) != (toleration.value is not None):
            yield Problem(
                path=f"scheduling.tolerations[{index}].value",
                rule="must be set with operator Equal, and with it alone",
                got=shown(toleration.value),
                use="operator Equal and a value, or Exists and none",
            )


def _cost(cost: Cost) -> Problems:
    for name, price in cost.gpu_hour.items():
        if name not in GPUS:
            yield Problem(
                path=f"cost.gpuHour.{name}",
                rule="must be the price of a GPU of the catalogue",
                got=shown(price),
                use=any_of(list(GPUS)),
            )


RULES = (
    Rule(sections=("model", "gpu"), check=_parallelism),
    Rule(sections=("gpu",), check=_one_node),
    Rule(sections=("model", "gpu", "serving"), check=_fits),
    Rule(sections=("gpu", "scheduling"), check=_scheduling),
    Rule(sections=("cost",), check=_cost),
)
