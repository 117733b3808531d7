"""The engines that serve a model, each with all that a stack needs to know of it.

A new engine is a row of `ENGINES`: nothing compares engines by their names.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ft_serving.core.dtypes import DType, Precision
from ft_serving.core.families.base import Blueprint, Family
from ft_serving.core.release import ReleaseFormat
from ft_serving.server.vllm.settings import KNOWN_VERSIONS, EngineSettings
from stacks import sizing
from stacks.gpus import Gpu
from stacks.quantities import GIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """The model, the formats and the load that a server must have memory for.

    Attributes:
        blueprint: The model's.
        dtype: Format of the stored weights.
        precision: Format that is computed in.
        tensor_parallel: GPUs that share each layer.
        pipeline_parallel: Groups of GPUs that share the layers.
        load: The most that is computed at once.
    """

    blueprint: Blueprint
    dtype: DType
    precision: Precision
    tensor_parallel: int
    pipeline_parallel: int
    load: sizing.PeakLoad

    @property
    def gpus(self) -> int:
        """GPUs of one replica, of an engine that uses them."""
        return self.tensor_parallel * self.pipeline_parallel

    def smaller_batches(self) -> Iterator["Demand"]:
        """Yield the same with fewer rows, the most first."""
        for batch in range(self.load.batch - 1, 0, -1):
            yield replace(self, load=replace(self.load, batch=batch))


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """An engine: it computes in the server, behind the protocol that all of them have.

    Attributes:
        name: As `serving.engine` has it.
        image: The folder below `images/` that its image is built from.
        build_args: Arguments that its Dockerfile has no default for.
        release_format: Layout of the releases that it reads.
        capabilities: Compute capabilities that it has code for; none where it computes on a CPU.
        precisions: Formats that `model.computeDtype` may have, by the model's family.
        pipelines: Whether groups of GPUs can share the layers.
        compiler: Name and version of what compiles code for a GPU at a server's first start; the
            cache of that code is named by it. None where nothing is compiled.
        cores: CPU cores that its container needs.
        main_memory: Bytes that its container needs, /dev/shm included.
        shared_memory: Bytes of its container's /dev/shm.
        gpu_memory: Bytes that each of its GPUs needs.
        environment: Variables of its container, by the whole cores that it gets.
    """

    name: str
    image: str
    build_args: tuple[str, ...]
    release_format: ReleaseFormat
    capabilities: frozenset[tuple[int, int]]
    precisions: Callable[[Family], frozenset[Precision]]
    pipelines: bool
    compiler: str | None
    cores: Callable[[Demand], int]
    main_memory: Callable[[Demand], int]
    shared_memory: Callable[[Demand], int]
    gpu_memory: Callable[[Demand], sizing.Memory]
    environment: Callable[[Demand, int], Mapping[str, str]]

    @property
    def on_gpus(self) -> bool:
        """True if it needs GPUs; an engine that does not need them cannot use them."""
        return bool(self.capabilities)

    @property
    def compiled_bytes(self) -> int:
        """Bytes of the volume for the code that it compiles for a release."""
        return sizing.COMPILED_BYTES if self.compiler else 0

    def serves_on(self, gpu: Gpu | None) -> bool:
        """Return whether it can serve on a GPU, or on the CPU where that is None."""
        return not self.on_gpus if gpu is None else gpu.compute_capability in self.capabilities


_STORED = frozenset(Precision(each.value) for each in DType)


def _vllm_memory(demand: Demand) -> sizing.Memory:
    return sizing.vllm_memory(
        demand.blueprint, demand.precision, demand.tensor_parallel, demand.load
    )


def _vllm_environment(demand: Demand, _cores: int) -> Mapping[str, str]:
    settings = EngineSettings(
        tensor_parallel=demand.tensor_parallel,
        batch=demand.load.batch,
        cache_bytes=_vllm_memory(demand).cache,
        precision=demand.precision,
    )
    return settings.to_environment()


_ROWS = (
    Engine(
        name="cpu",
        image="server-cpu",
        build_args=(),
        release_format=ReleaseFormat.FASTERTRANSFORMER,
        capabilities=frozenset(),
        # It computes in fp32, whatever a release that GPUs are to serve, too, says.
        precisions=lambda _: _STORED,
        pipelines=True,
        compiler=None,
        # It uses all that it gets, which a model that stays in a core's cache has no use for.
        cores=lambda demand: 1 if demand.blueprint.weights() * 4 < GIB else 8,
        main_memory=lambda demand: (
            sizing.cpu_memory(demand.blueprint, demand.load).total + sizing.SHARED_MEMORY
        ),
        shared_memory=lambda _: sizing.SHARED_MEMORY,
        gpu_memory=lambda _: sizing.Memory(weights=0, cache=0, workspace=0),
        # OpenBLAS counts the node's cores: more threads than the quota wait for each other.
        environment=lambda _, cores: {"OPENBLAS_NUM_THREADS": str(cores)},
    ),
    Engine(
        name="vllm",
        image="server-vllm",
        build_args=(),
        release_format=ReleaseFormat.HUGGINGFACE,
        # Those that both libtorch_cuda.so of torch 2.11.0+cu130 and the libraries of vLLM 0.26.0's
        # wheel have code objects for; those of 8.6 run on 8.9, and 7.5's attention is Triton's.
        capabilities=frozenset({(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)}),
        precisions=lambda _: frozenset(Precision),
        pipelines=False,
        compiler=f"vllm-{KNOWN_VERSIONS[-1]}",
        # vLLM's scheduler, this project's sender, Triton's protocols and the start's checks; and
        # one thread feeds a GPU.
        cores=lambda demand: 4 + demand.tensor_parallel,
        main_memory=lambda demand: sizing.vllm_host_memory(demand.tensor_parallel),
        shared_memory=lambda demand: sizing.vllm_shared_memory(demand.tensor_parallel),
        gpu_memory=_vllm_memory,
        environment=_vllm_environment,
    ),
    Engine(
        name="fastertransformer",
        image="server",
        build_args=("BASE_IMAGE", "BACKEND_IMAGE"),
        release_format=ReleaseFormat.FASTERTRANSFORMER,
        # SM_SETS of FasterTransformer's CMakeLists.txt.
        capabilities=frozenset(
            {(5, 2), (6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0)}
        ),
        precisions=lambda family: _STORED - {Precision(dtype) for dtype in family.fp32_for},
        pipelines=True,
        compiler=None,
        # One thread feeds a GPU, beside those of Triton's protocols.
        cores=lambda demand: 2 + 2 * demand.gpus,
        main_memory=lambda demand: sizing.host_memory(demand.blueprint, demand.dtype, demand.gpus),
        shared_memory=lambda demand: sizing.shared_memory_bytes(demand.gpus),
        gpu_memory=lambda demand: sizing.gpu_memory(
            demand.blueprint,
            demand.precision.dtype,
            demand.tensor_parallel,
            demand.pipeline_parallel,
            demand.load,
        ),
        environment=lambda _, __: {},
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
