"""How much memory and storage a model needs.

The number of weights is exact, from the table of tensors that the conversion follows. Buffers are
FasterTransformer's as its code at df4a753 allocates them where that depends on the load; the rest
is a fit to the memory that its `docs/gpt_guide.md` publishes for GPT 6.7B in fp16 on one A100.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from ft_serving.core.dtypes import DType
from ft_serving.core.families.base import Split, TensorRule
from ft_serving.core.families.gptj import GPTJ
from ft_serving.server.engine_memory import ENGINE_BASE_BYTES, cache_bytes, workspace_bytes
from stacks.quantities import GIB, MIB

_GPU_BASE = 2_300_000_000
"""CUDA context, libraries' workspaces and the runtime, on each GPU."""

_TOKEN_BUFFERS = 30
"""Buffers of one hidden vector that each token of the prompts takes."""

_HOST_BASE, _HOST_PER_GPU = 3 * GIB, GIB
"""Triton's process, and the CUDA context and pinned memory of each GPU."""

_DOWNLOAD_BYTES_PER_S, _CONVERT_BYTES_PER_S = 10_000_000, 50_000_000
"""Speeds that a Job reaches on a slow network and a slow volume."""


class Dimensions(Protocol):
    """The numbers of a model that its memory depends on, as `model.dimensions` has them."""

    hidden_size: int
    layers: int
    heads: int
    vocabulary_size: int
    inner_size: int
    max_sequence_length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PeakLoad:
    """The most that is computed at once.

    Attributes:
        batch: Rows.
        input_length: Tokens of each prompt.
        output_length: Tokens of each answer.
    """

    batch: int
    input_length: int
    output_length: int

    @property
    def tokens(self) -> int:
        """Tokens of a row."""
        return self.input_length + self.output_length


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes of one GPU, or of one server on a CPU.

    Attributes:
        weights: The part of the model that lies there.
        cache: Keys and values of all rows.
        workspace: Everything else.
    """

    weights: int
    cache: int
    workspace: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.workspace


def weight_count(dimensions: Dimensions) -> int:
    """Return the number of weights in a whole model."""
    return _weights(dimensions, dimensions.layers, 1)


def release_bytes(dimensions: Dimensions, dtype: DType) -> int:
    """Return the size of a release's weight files; parallelism does not change it."""
    return weight_count(dimensions) * dtype.itemsize


def source_bytes(dimensions: Dimensions) -> int:
    """Return the most that a checkpoint takes: fp32, with the attention masks of old ones."""
    masks = dimensions.layers * dimensions.max_sequence_length**2
    return release_bytes(dimensions, DType.FP32) + masks


def storage_bytes(dimensions: Dimensions, dtype: DType, releases: int) -> int:
    """Return the volume that a change of release needs.

    Args:
        dimensions: The model's.
        dtype: The format of the stored weights.
        releases: How many are there at once, the new one included; beside them is the download.
    """
    wanted = source_bytes(dimensions) + releases * release_bytes(dimensions, dtype)
    return math.ceil(wanted * 1.02) + 64 * MIB


def gpu_memory(
    dimensions: Dimensions,
    dtype: DType,
    tensor_parallel: int,
    pipeline_parallel: int,
    load: PeakLoad,
) -> Memory:
    """Return what FasterTransformer needs on each GPU.

    Args:
        dimensions: The model's.
        dtype: The format computed in: weights of another one are cast when they are loaded.
        tensor_parallel: GPUs that share each layer; must divide heads and inner size.
        pipeline_parallel: Groups of GPUs that share the layers; must divide them.
        load: What memory must suffice for.
    """
    layers, hidden = dimensions.layers // pipeline_parallel, dimensions.hidden_size
    prompts = load.batch * load.input_length
    widest = max(hidden, dimensions.inner_size // 4)
    # GptContextAttentionLayer keeps the scores of all prompts twice, once in fp32.
    scores = prompts * load.input_length * dimensions.heads // tensor_parallel
    return Memory(
        weights=_weights(dimensions, layers, tensor_parallel) * dtype.itemsize,
        cache=_cache(dimensions, layers, load) // tensor_parallel * dtype.itemsize,
        workspace=_GPU_BASE
        + _padded_head(dimensions, dtype, tensor_parallel)
        + _TOKEN_BUFFERS * widest * prompts * dtype.itemsize
        + scores * (dtype.itemsize + 4),
    )


def cpu_memory(dimensions: Dimensions, load: PeakLoad) -> Memory:
    """Return what the CPU engine needs; it computes in fp32, and one prompt at a time."""
    return Memory(
        weights=release_bytes(dimensions, DType.FP32),
        cache=cache_bytes(
            layers=dimensions.layers,
            hidden=dimensions.hidden_size,
            tokens=load.batch * load.tokens,
        ),
        workspace=ENGINE_BASE_BYTES
        + workspace_bytes(
            hidden=dimensions.hidden_size,
            inner=dimensions.inner_size,
            heads=dimensions.heads,
            vocabulary=dimensions.vocabulary_size,
            rows=load.batch,
            prompt=load.input_length,
        ),
    )


def shared_memory_bytes(gpus: int) -> int:
    """Return the size of /dev/shm: the Python backend's buffers, or NCCL's between GPUs."""
    return GIB if gpus > 1 else 256 * MIB


def host_memory(dimensions: Dimensions, dtype: DType, gpus: int) -> int:
    """Return the main memory of a server with GPUs: each reads its own files, one at a time."""
    largest = max(_elements(rule, dimensions) for rule in GPTJ.rules) * dtype.itemsize
    return _HOST_BASE + gpus * (_HOST_PER_GPU + 2 * largest) + shared_memory_bytes(gpus)


def job_memory(dimensions: Dimensions) -> int:
    """Return the main memory of the Job: a few blocks, and pages on their way to the volume."""
    return min(2 * GIB, max(512 * MIB, source_bytes(dimensions) // 8))


def job_deadline_s(dimensions: Dimensions, dtype: DType) -> int:
    """Return the seconds after which a Job that is not done will not be."""
    download = source_bytes(dimensions) / _DOWNLOAD_BYTES_PER_S
    convert = release_bytes(dimensions, dtype) / _CONVERT_BYTES_PER_S
    return 600 + math.ceil(download + convert)


def _weights(dimensions: Dimensions, layers: int, tensor_parallel: int) -> int:
    """The weights of one rank: embedding and head are whole on each, on every stage."""
    return sum(
        _elements(rule, dimensions)
        * (layers if rule.per_layer else 1)
        // (1 if rule.split is Split.NONE else tensor_parallel)
        for rule in GPTJ.rules
    )


def _elements(rule: TensorRule, dimensions: Dimensions) -> int:
    numbers = {
        "hidden": dimensions.hidden_size,
        "inner": dimensions.inner_size,
        "vocabulary": dimensions.vocabulary_size,
    }
    return len(rule.sources) * math.prod(numbers[name] for name in rule.shape)


def _cache(dimensions: Dimensions, layers: int, load: PeakLoad) -> int:
    return 2 * layers * load.batch * load.tokens * dimensions.hidden_size


def _padded_head(dimensions: Dimensions, dtype: DType, tensor_parallel: int) -> int:
    """The copy of the head that GptJ.cc makes where ranks do not share the vocabulary evenly."""
    part = math.ceil(dimensions.vocabulary_size / tensor_parallel)
    if dtype is DType.FP16:
        part = math.ceil(part / 8) * 8
    padded = part * tensor_parallel
    if padded == dimensions.vocabulary_size:
        return 0
    return padded * (dimensions.hidden_size + 1) * dtype.itemsize
