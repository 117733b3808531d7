"""Between a model and GPUs: does it divide, does it fit, are there such nodes."""

from pydantic.alias_generators import to_camel

from stacks.engines import engine_for
from stacks.errors import Problem, any_of, shown
from stacks.gpus import GPUS, GPUS_PER_NODE, NODE_LABELS, NONE
from stacks.models import blueprint_of
from stacks.proposals import gpu_proposals
from stacks.quantities import in_gib
from stacks.resolved import demand_of
from stacks.rules.base import Problems, Rule
from stacks.sections import Cost, GpuSettings, Model, Scheduling, Serving, TolerationOperator


def _parallelism(model: Model, gpu: GpuSettings) -> Problems:
    blueprint = blueprint_of(model)
    if blueprint is None:
        return
    for misfit in blueprint.shape.parallelism_misfits(gpu.tensor_parallel, gpu.pipeline_parallel):
        yield Problem(
            path=f"gpu.{to_camel(misfit.number)}",
            rule=misfit.rule,
            got=str(misfit.got),
            use=any_of([size for size in misfit.valid if size <= GPUS_PER_NODE]),
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
    blueprint, engine = blueprint_of(model), engine_for(serving.engine, gpu.model)
    if blueprint is None or gpu.model is None or not engine.serves_on(gpu.model):
        return
    if any(_parallelism(model, gpu)) or any(_one_node(gpu)):
        return
    demand = demand_of(blueprint, model, gpu, serving)
    memory, load = engine.gpu_memory(demand), demand.load
    if memory.total > gpu.model.memory_bytes:
        yield Problem(
            path="gpu",
            rule=f"each must hold {in_gib(memory.weights)} of weights in {demand.precision}, "
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
