"""Renders Triton's `config.pbtxt` for the `fastertransformer` backend.

The format is Triton's `ModelConfig` message in protobuf's text form. fastertransformer_backend
decides what each field must hold (`src/libfastertransformer.cc` at c6936c3).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ft_serving.core import protocol
from ft_serving.core.dtypes import DType
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.parameters import INPUTS
from ft_serving.core.protocol import TensorSpec

QUEUE_DELAY_MICROSECONDS = 5_000
"""The time for which the first request of a batch waits for others: less than a token takes."""

_CHECKPOINT_PATH = "model_checkpoint_path"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The settings in which `config.pbtxt` differs between deployments.

    Attributes:
        model_type: The family's name in the backend, such as "GPT-J".
        tensor_parallel: GPUs that share each layer; decides which weight files are read. None
            where the weights are for any number of GPUs; the server then learns how many when
            it is started.
        pipeline_parallel: Groups of GPUs that share the layers; None likewise.
        compute_dtype: The format computed in, not the one stored.
        checkpoint_path: The folder that directly holds the weights and config.ini or config.json,
            as the server sees it.
        streaming: Serve decoupled: a response a token.
        vocabulary: Rows of the embedding.
        end_id: Token that ends a text.
        source: The origin of the weights, `OWNER/NAME@REVISION`.
        limits: Most tokens of prompts and answers.
    """

    model_type: str
    tensor_parallel: int | None
    pipeline_parallel: int | None
    compute_dtype: DType
    checkpoint_path: str
    streaming: bool
    vocabulary: int
    end_id: int
    source: str
    limits: LengthLimits


def render(config: ModelConfig) -> str:
    """Return the text of `config.pbtxt`."""
    return "\n".join(_lines(config)) + "\n"


def checkpoint_path(text: str) -> str:
    """Return the checkpoint's path that a rendered `config.pbtxt` names; "" if it names none."""
    key = re.escape(_quote(_CHECKPOINT_PATH))
    found = re.search(rf'key: {key} value {{ string_value: "((?:[^"\\]|\\.)*)" }}', text)
    return re.sub(r"\\(.)", lambda it: it[1].replace("n", "\n"), found[1]) if found else ""


def _lines(config: ModelConfig) -> Iterator[str]:
    yield f'name: "{protocol.MODEL_NAME}"'
    yield f'backend: "{protocol.BACKEND_NAME}"'
    yield f"max_batch_size: {protocol.MAX_BATCH_SIZE}"
    yield f"model_transaction_policy {{ decoupled: {str(config.streaming).lower()} }}"
    # An engine that takes requests as they come waits for no batch.
    batches = config.tensor_parallel is not None
    if batches:
        yield f"dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_DELAY_MICROSECONDS} }}"
    for tensor in INPUTS:
        yield from _tensor("input", tensor, ragged=tensor.ragged and batches)
        if tensor.ragged and batches:
            yield from _item_shape(tensor)
    for tensor in protocol.OUTPUTS:
        yield from _tensor("output", tensor)
    # The backend places GPUs itself and refuses any other kind.
    yield "instance_group { count: 1 kind: KIND_CPU }"
    for key, value in _parameters(config).items():
        yield f"parameters {{ key: {_quote(key)} value {{ string_value: {_quote(value)} }} }}"


def _tensor(field: str, tensor: TensorSpec, *, ragged: bool = False) -> Iterator[str]:
    yield f"{field} {{"
    yield f'  name: "{tensor.name}"'
    yield f"  data_type: TYPE_{tensor.dtype}"
    yield f"  dims: [ {', '.join(map(str, tensor.dims))} ]"
    if tensor.scalar:
        yield "  reshape { shape: [ ] }"
    if tensor.optional:
        yield "  optional: true"
    if ragged:
        yield "  allow_ragged_batch: true"
    yield "}"


def _item_shape(tensor: TensorSpec) -> Iterator[str]:
    """Declare the tensor from which the backend learns each merged request's own length."""
    yield "batch_input {"
    yield "  kind: BATCH_ITEM_SHAPE"
    yield f'  target_name: "{tensor.name}_item_shape"'
    yield "  data_type: TYPE_INT32"
    yield f'  source_input: "{tensor.name}"'
    yield "}"


def _parameters(config: ModelConfig) -> dict[str, str]:
    sizes = {
        "tensor_para_size": config.tensor_parallel,
        "pipeline_para_size": config.pipeline_parallel,
    }
    return {
        protocol.FAMILY_PARAMETER: config.model_type,
        **{name: str(size) for name, size in sizes.items() if size is not None},
        "data_type": config.compute_dtype.value,
        _CHECKPOINT_PATH: config.checkpoint_path,
        # Missing, it logs an error; it takes effect only with eight GPUs on one NVSwitch.
        "enable_custom_all_reduce": "0",
        # For clients, who compare their tokenizer with it: the backend reads config.ini instead.
        # Its versions before 1.2 read the first two here, by these names.
        protocol.VOCABULARY_PARAMETER: str(config.vocabulary),
        protocol.END_PARAMETER: str(config.end_id),
        protocol.SOURCE_PARAMETER: config.source,
        # For the engine for CPUs and for clients; NVIDIA's backend reads past them.
        **config.limits.to_parameters(),
    }


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
