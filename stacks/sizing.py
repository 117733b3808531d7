"""The memory and the storage that a model needs.

The number of weights is exact, from the table of tensors that the conversion follows. Buffers are
FasterTransformer's as its code at df4a753 allocates them where that depends on the load; the rest
is a fit to the memory that its `docs/gpt_guide.md` publishes for GPT 6.7B in fp16 on one A100.
vLLM is told how much its cache may take; the rest is a fit to what 0.26.0 takes on an H200.
"""

import math
from dataclasses import dataclass

from ft_serving.core.dtypes import DType, Precision
from ft_serving.core.families.base import Blueprint, Split, TensorRule
from ft_serving.server.engine_memory import ENGINE_BASE_BYTES, cache_bytes, workspace_bytes
from ft_serving.server.vllm.settings import EngineSettings
from stacks.quantities import GIB, MIB

_GPU_BASE = 2_300_000_000
"""CUDA context, libraries' workspaces and the runtime, on each GPU."""

_TOKEN_BUFFERS = 30
"""Buffers of one hidden vector that each token of the prompts takes."""

SHARED_MEMORY = 256 * MIB
"""Bytes of /dev/shm that Triton's Python backend needs."""

_HOST_BASE, _HOST_PER_GPU = 3 * GIB, GIB
"""Triton's process, and the CUDA context and pinned memory of each GPU."""

_TRITON_ON_GPU, _VLLM_ON_GPU, _NCCL_ON_GPU = 582 * MIB, 1024 * MIB, 512 * MIB
"""tritonserver's CUDA context; that of vLLM's worker, of which 750 MiB were seen; and buffers
between several GPUs, which were not measured."""

_STEP_BASE = 200 * MIB
"""Buffers of a step that do not grow with it, such as cuBLAS's."""

_PIECES_OF_LAYER, _GRAPH_OF_LAYER = MIB // 5, MIB * 4 // 5
"""Bytes of a layer in the CUDA graphs of one size: those between attention, and for sizes up to
the batch another one with attention. For GPT-J 6B this gives the 0.45 GiB and 1.15 GiB that batches
of 64 and 1024 rows took."""

_CACHE_BLOCK = 16
"""Tokens that vLLM gives a text at a time; one block more stands for none."""

_VOCABULARY_STEP = 64
"""vLLM pads the vocabulary's rows to a multiple of it, so that GPUs can share them."""

_LOGIT_BYTES = 20
"""Of each row and token of the vocabulary: logits twice, in fp32, and what sorts them."""

COMPILED_BYTES = 512 * MIB
"""Bytes of vLLM's compiled code for a release: some hundred megabytes, of several settings."""

_VLLM_HOST, _VLLM_HOST_PER_GPU = 16 * GIB, 4 * GIB
"""A fit to one GPU: Triton, two Python processes that have imported torch, pinned buffers, and the
pages of weights while they are read. Each GPU more has a process of its own."""

_DOWNLOAD_BYTES_PER_S, _CONVERT_BYTES_PER_S = 10_000_000, 50_000_000
"""Speeds that a Job reaches on a slow network and a slow volume."""


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


def release_bytes(blueprint: Blueprint, dtype: DType) -> int:
    """Return the size of a release's weight files; parallelism does not change it."""
    return blueprint.weights() * dtype.itemsize


def source_bytes(blueprint: Blueprint) -> int:
    """Return the most that a checkpoint takes: fp32, with the attention masks of old ones."""
    masks = blueprint.shape.layers * blueprint.shape.context**2
    return release_bytes(blueprint, DType.FP32) + masks


def storage_bytes(blueprint: Blueprint, dtype: DType, releases: int, compiled: int = 0) -> int:
    """Return the volume that a change of release needs.

    Args:
        blueprint: The model's.
        dtype: The format of the stored weights.
        releases: How many are there at once, the new one included; beside them is the download.
        compiled: Bytes of the code that servers compile for each of them.
    """
    wanted = source_bytes(blueprint) + releases * (release_bytes(blueprint, dtype) + compiled)
    return math.ceil(wanted * 1.02) + 64 * MIB


def gpu_memory(
    blueprint: Blueprint,
    dtype: DType,
    tensor_parallel: int,
    pipeline_parallel: int,
    load: PeakLoad,
) -> Memory:
    """Return the memory that FasterTransformer needs on each GPU.

    Args:
        blueprint: The model's.
        dtype: The format computed in: weights of another one are cast when they are loaded.
        tensor_parallel: GPUs that share each layer; must divide heads and inner size.
        pipeline_parallel: Groups of GPUs that share the layers; must divide them.
        load: What memory must suffice for.
    """
    shape = blueprint.shape
    layers = shape.layers // pipeline_parallel
    prompts = load.batch * load.input_length
    widest = max(shape.hidden, shape.inner // 4)
    keys_and_values = 2 * layers * load.batch * load.tokens * shape.hidden
    # GptContextAttentionLayer keeps the scores of all prompts twice, once in fp32.
    scores = prompts * load.input_length * shape.heads // tensor_parallel
    return Memory(
        weights=blueprint.weights(layers, tensor_parallel) * dtype.itemsize,
        cache=keys_and_values // tensor_parallel * dtype.itemsize,
        workspace=_GPU_BASE
        + _padded_head(blueprint, dtype, tensor_parallel)
        + _TOKEN_BUFFERS * widest * prompts * dtype.itemsize
        + scores * (dtype.itemsize + 4),
    )


def cpu_memory(blueprint: Blueprint, load: PeakLoad) -> Memory:
    """Return the memory of the CPU engine; it computes in fp32, and one prompt at a time."""
    return Memory(
        weights=release_bytes(blueprint, DType.FP32),
        cache=cache_bytes(blueprint.shape, load.batch * load.tokens),
        workspace=ENGINE_BASE_BYTES
        + workspace_bytes(blueprint, rows=load.batch, prompt=load.input_length),
    )


def vllm_memory(
    blueprint: Blueprint, precision: Precision, tensor_parallel: int, load: PeakLoad
) -> Memory:
    """Return the memory that vLLM needs on each GPU; it is told to take `cache` for that.

    Args:
        blueprint: The model's.
        precision: The format computed in.
        tensor_parallel: GPUs that share each layer, and the vocabulary; must divide heads and
            inner size.
        load: What memory must suffice for.
    """
    shape, itemsize = blueprint.shape, precision.dtype.itemsize
    blocks = load.batch * math.ceil(load.tokens / _CACHE_BLOCK) + 1
    of_a_token = 2 * shape.layers * shape.hidden * itemsize // tensor_parallel
    # A step has one token of each running row, and tokens of prompts that are admitted.
    settings = EngineSettings(batch=load.batch)
    of_a_step = 8 * shape.hidden + 2 * shape.inner // tensor_parallel
    graphs = sum(
        _PIECES_OF_LAYER + (_GRAPH_OF_LAYER if size <= load.batch else 0)
        for size in settings.graph_sizes
    )
    return Memory(
        weights=sum(
            _vllm_tensor_bytes(rule, blueprint, precision, tensor_parallel)
            for rule in blueprint.family.rules
            # Its tensors are in others, too.
            if not rule.add
        ),
        cache=blocks * _CACHE_BLOCK * of_a_token,
        workspace=_TRITON_ON_GPU
        + _VLLM_ON_GPU
        + (_NCCL_ON_GPU if tensor_parallel > 1 else 0)
        + graphs * shape.layers
        + _STEP_BASE
        + of_a_step * settings.batched_tokens * itemsize
        + load.batch * shape.vocabulary * _LOGIT_BYTES,
    )


def vllm_host_memory(gpus: int) -> int:
    """Return the main memory of a server with vLLM."""
    return _VLLM_HOST + (gpus - 1) * _VLLM_HOST_PER_GPU + vllm_shared_memory(gpus)


def vllm_shared_memory(gpus: int) -> int:
    """Return the size of /dev/shm: Triton's and vLLM's buffers, and between GPUs NCCL's."""
    return 2 * SHARED_MEMORY if gpus == 1 else GIB + gpus * SHARED_MEMORY


def shared_memory_bytes(gpus: int) -> int:
    """Return the size of /dev/shm with FasterTransformer: NCCL's buffers between GPUs."""
    return GIB if gpus > 1 else SHARED_MEMORY


def host_memory(blueprint: Blueprint, dtype: DType, gpus: int) -> int:
    """Return the main memory of a server with GPUs: each reads its own files, one at a time."""
    largest = blueprint.largest_weights * dtype.itemsize
    return _HOST_BASE + gpus * (_HOST_PER_GPU + 2 * largest) + shared_memory_bytes(gpus)


def job_memory(blueprint: Blueprint) -> int:
    """Return the main memory of the Job: a few blocks, and pages on their way to the volume."""
    return min(2 * GIB, max(512 * MIB, source_bytes(blueprint) // 8))


def job_deadline_s(blueprint: Blueprint, dtype: DType) -> int:
    """Return the seconds after which a Job that is not done will not be."""
    download = source_bytes(blueprint) / _DOWNLOAD_BYTES_PER_S
    convert = release_bytes(blueprint, dtype) / _CONVERT_BYTES_PER_S
    return 600 + math.ceil(download + convert)


def _vllm_tensor_bytes(
    rule: TensorRule, blueprint: Blueprint, precision: Precision, tensor_parallel: int
) -> int:
    """Return the bytes of a tensor on one GPU, of all layers together."""
    shape, elements = blueprint.shape, rule.elements(blueprint.shape)
    if "vocabulary" in rule.shape:
        rows = math.ceil(shape.vocabulary / _VOCABULARY_STEP) * _VOCABULARY_STEP
        return elements // shape.vocabulary * rows // tensor_parallel * precision.dtype.itemsize
    is_quantised = precision is Precision.FP8 and rule.per_layer and len(rule.shape) > 1
    return (
        elements
        * (shape.layers if rule.per_layer else 1)
        // (1 if rule.split is Split.NONE else tensor_parallel)
        * (1 if is_quantised else precision.dtype.itemsize)
    )


def _padded_head(blueprint: Blueprint, dtype: DType, tensor_parallel: int) -> int:
    """Return the bytes of the head's copy, which `GptJ.cc` makes for an uneven vocabulary."""
    vocabulary = blueprint.shape.vocabulary
    part = math.ceil(vocabulary / tensor_parallel)
    if dtype is DType.FP16:
        part = math.ceil(part / 8) * 8
    padded = part * tensor_parallel
    if padded == vocabulary:
        return 0
    return padded * (blueprint.head_weights // vocabulary) * dtype.itemsize
