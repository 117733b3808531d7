"""What fits, where something does not."""

from ft_serving.core.dtypes import DType
from stacks.gpus import GPUS, GPUS_PER_NODE
from stacks.sections import Dimensions, GpuSettings
from stacks.sizing import Load, gpu_memory


def divisors(number: int, most: int) -> list[int]:
    """Return the divisors of a number up to a limit."""
    return [n for n in range(1, min(number, most) + 1) if number % n == 0]


def gpu_proposals(dimensions: Dimensions, dtype: DType, gpu: GpuSettings, load: Load) -> str:
    """Say what to change so that a model fits: one setting at a time, the nearest value of each.

    Args:
        dimensions: The model's.
        dtype: The format computed in.
        gpu: What does not suffice.
        load: What memory must suffice for.
    """
    found = [
        *_more_gpus(dimensions, dtype, gpu, load),
        *_other_gpu(dimensions, dtype, gpu, load),
        *_smaller_batch(dimensions, dtype, gpu, load),
    ]
    return ", or ".join(found) or "shorter texts, or a smaller model"


def _fits(
    dimensions: Dimensions, dtype: DType, gpu_type: str, tensor: int, pipeline: int, load: Load
) -> bool:
    needed = gpu_memory(dimensions, dtype, tensor, pipeline, load).total
    return GPUS[gpu_type].supports(dtype) and needed <= GPUS[gpu_type].memory_bytes


def _more_gpus(dimensions: Dimensions, dtype: DType, gpu: GpuSettings, load: Load) -> list[str]:
    most = GPUS_PER_NODE // gpu.pipeline_parallel
    for tensor in divisors(dimensions.heads, most):
        larger = tensor > gpu.tensor_parallel and dimensions.inner_size % tensor == 0
        if larger and _fits(dimensions, dtype, gpu.type, tensor, gpu.pipeline_parallel, load):
            return [f"gpu.tensorParallel {tensor}"]
    return []


def _other_gpu(dimensions: Dimensions, dtype: DType, gpu: GpuSettings, load: Load) -> list[str]:
    for name in GPUS:
        if _fits(dimensions, dtype, name, gpu.tensor_parallel, gpu.pipeline_parallel, load):
            return [f"gpu.type {name}"]
    return []


def _smaller_batch(dimensions: Dimensions, dtype: DType, gpu: GpuSettings, load: Load) -> list[str]:
    for batch in range(load.batch - 1, 0, -1):
        smaller = Load(
            batch=batch, input_length=load.input_length, output_length=load.output_length
        )
        if _fits(dimensions, dtype, gpu.type, gpu.tensor_parallel, gpu.pipeline_parallel, smaller):
            return [f"serving.batch {batch}"]
    return []
