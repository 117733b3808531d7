"""What fits, where something does not."""

from collections.abc import Iterator
from dataclasses import replace

from stacks.engines import Demand, Engine
from stacks.gpus import GPUS, GPUS_PER_NODE


def gpu_proposals(engine: Engine, gpu: str, demand: Demand) -> str:
    """Say what to change so that a model fits: one setting at a time, the nearest value of each.

    Args:
        engine: What computes.
        gpu: The type of GPU that does not suffice.
        demand: What it does not suffice for.
    """
    found = [
        *_more_gpus(engine, gpu, demand),
        *_other_gpu(engine, demand),
        *_smaller_batch(engine, gpu, demand),
    ]
    return ", or ".join(found) or "shorter texts, or a smaller model"


def _fits(engine: Engine, gpu: str, demand: Demand) -> bool:
    offered = GPUS[gpu]
    return (
        engine.serves_on(offered)
        and offered.supports(demand.precision)
        and engine.gpu_memory(demand).total <= offered.memory_bytes
    )


def _more_gpus(engine: Engine, gpu: str, demand: Demand) -> list[str]:
    most = GPUS_PER_NODE // demand.pipeline_parallel
    for tensor in demand.blueprint.shape.tensor_parallel_sizes(most):
        larger = tensor > demand.tensor_parallel
        if larger and _fits(engine, gpu, replace(demand, tensor_parallel=tensor)):
            return [f"gpu.tensorParallel {tensor}"]
    return []


def _other_gpu(engine: Engine, demand: Demand) -> list[str]:
    return [f"gpu.type {gpu}" for gpu in GPUS if _fits(engine, gpu, demand)][:1]


def _smaller_batch(engine: Engine, gpu: str, demand: Demand) -> list[str]:
    for smaller in smaller_batches(demand):
        if _fits(engine, gpu, smaller):
            return [f"serving.batch {smaller.load.batch}"]
    return []


def smaller_batches(demand: Demand) -> Iterator[Demand]:
    """Yield the same with fewer rows, the most first."""
    for batch in range(demand.load.batch - 1, 0, -1):
        yield replace(demand, load=replace(demand.load, batch=batch))
