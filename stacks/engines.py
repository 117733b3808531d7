"""The engines that serve a model, each with all that a stack has to know of it.

A new engine is a row of `ENGINES`: nothing compares engines by their names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ft_serving.core.dtypes import DType
from ft_serving.core.families.base import Blueprint
from stacks import sizing
from stacks.gpus import Gpu
from stacks.quantities import GIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a server is to hold and to compute.

    Attributes:
        blueprint: The model's.
        dtype: Format of the stored weights.
        compute_dtype: Format that is computed in.
        tensor_parallel: GPUs that share each layer.
        pipeline_parallel: Groups of GPUs that share the layers.
        load: The most that is computed at once.
    """

    blueprint: Blueprint
    dtype: DType
    compute_dtype: DType
    tensor_parallel: int
    pipeline_parallel: int
    load: sizing.PeakLoad

    @property
    def gpus(self) -> int:
        """GPUs of one replica, of an engine that uses them."""
        return self.tensor_parallel * self.pipeline_parallel


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """What computes in the server, behind the protocol that all of them have.

    Attributes:
        name: As `serving.engine` has it.
        image: The folder below `images/` that its image is built from.
        build_args: Arguments that its Dockerfile has no default for.
        capabilities: Compute capabilities that it has code for; none where it computes on a CPU.
        dtypes: Formats that `model.computeDtype` may have.
        cores: CPU cores that its container needs.
        main_memory: Bytes that its container needs, /dev/shm included.
        gpu_memory: Bytes that each of its GPUs needs.
        environment: Variables of its container, by the whole cores that it gets.
    """

    name: str
    image: str
    build_args: tuple[str, ...]
    capabilities: frozenset[tuple[int, int]]
    dtypes: frozenset[DType]
    cores: Callable[[Demand], int]
    main_memory: Callable[[Demand], int]
    gpu_memory: Callable[[Demand], sizing.Memory]
    environment: Callable[[int], Mapping[str, str]]

    @property
    def on_gpus(self) -> bool:
        """Whether it needs GPUs; an engine that does not has no use for them."""
        return bool(self.capabilities)

    def serves_on(self, gpu: Gpu | None) -> bool:
        """Tell whether it can serve on a GPU, or on the CPU where that is None."""
        return not self.on_gpus if gpu is None else gpu.compute_capability in self.capabilities


_ROWS = (
    Engine(
        name="cpu",
        image="server-cpu",
        build_args=(),
        capabilities=frozenset(),
        # It computes in fp32, whatever a release that GPUs are to serve, too, says.
        dtypes=frozenset({DType.FP32, DType.FP16, DType.BF16}),
        # It uses all that it gets, which a model that stays in a core's cache has no use for.
        cores=lambda demand: 1 if sizing.weight_count(demand.blueprint) * 4 < GIB else 8,
        main_memory=lambda demand: (
            sizing.cpu_memory(demand.blueprint, demand.load).total + sizing.shared_memory_bytes(0)
        ),
        gpu_memory=lambda _: sizing.Memory(weights=0, cache=0, workspace=0),
        # OpenBLAS counts the node's cores: more threads than the quota wait for each other.
        environment=lambda cores: {"OPENBLAS_NUM_THREADS": str(cores)},
    ),
    Engine(
        name="fastertransformer",
        image="server",
        build_args=("BASE_IMAGE", "BACKEND_IMAGE"),
        # SM_SETS of FasterTransformer's CMakeLists.txt.
        capabilities=frozenset(
            {(5, 2), (6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0)}
        ),
        dtypes=frozenset({DType.FP32, DType.FP16, DType.BF16}),
        # One thread feeds a GPU, beside those of Triton's protocols.
        cores=lambda demand: 2 + 2 * demand.gpus,
        main_memory=lambda demand: sizing.host_memory(demand.blueprint, demand.dtype, demand.gpus),
        gpu_memory=lambda demand: sizing.gpu_memory(
            demand.blueprint,
            demand.compute_dtype,
            demand.tensor_parallel,
            demand.pipeline_parallel,
            demand.load,
        ),
        environment=lambda _: {},
    ),
)

ENGINES = {engine.name: engine for engine in _ROWS}
"""All of them by name. A stack that names none gets the first that can serve on what it has."""


def engine_for(name: str | None, gpu: Gpu | None) -> Engine:
    """Return the engine of a stack.

    Args:
        name: Its name; None for the first that can serve. Where none can, as on a GPU that none
            has code for, the first of its kind is returned, for the stack to be refused with.
        gpu: What it serves on; None for the CPU.
    """
    if name is not None:
        return ENGINES[name]
    of_kind = [engine for engine in ENGINES.values() if engine.on_gpus == (gpu is not None)]
    return next((engine for engine in of_kind if engine.serves_on(gpu)), of_kind[0])
