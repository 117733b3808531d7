"""Writes and checks config.pbtxt, which names the weights by the path where servers see them.

The format is Triton's `ModelConfig` message in protobuf's text form. fastertransformer_backend
decides what each field must hold (`src/libfastertransformer.cc` at c6936c3).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ft_serving.core import protocol
from ft_serving.core.errors import ReleaseError
from ft_serving.core.families import FAMILIES
from ft_serving.core.files import absolute, same_place
from ft_serving.core.manifest import CONFIG_PBTXT_PATH, WEIGHTS_PATH, Manifest
from ft_serving.core.parameters import INPUTS
from ft_serving.core.protocol import TensorSpec
from ft_serving.weights.errors import MisplacedError

QUEUE_DELAY_MICROSECONDS = 5_000
"""The time for which the first request of a batch waits for others: less than a token takes."""

_CHECKPOINT_PATH = "model_checkpoint_path"


def render_config_pbtxt(manifest: Manifest, folder: Path) -> str:
    """Return the text for a release in a folder.

    Args:
        manifest: The release's; its files do not count.
        folder: Where the release lies, or will.
    """
    return "\n".join(_lines(manifest, absolute(folder) / WEIGHTS_PATH)) + "\n"


def check_place(release: Path) -> None:
    """Check that servers that see a release in this folder find its weights by config.pbtxt.

    Places are compared, not paths: a link, or a mount of the same file system, is as good. Listing
    and pruning do not ask, because who prunes may have mounted the volume elsewhere.

    Raises:
        MisplacedError: Its config.pbtxt names another place.
        ReleaseError: Its config.pbtxt cannot be read.
    """
    path = release / CONFIG_PBTXT_PATH
    try:
        named = checkpoint_path(path.read_text())
    except (OSError, ValueError) as exc:
        raise ReleaseError(f"{path}: cannot be read: {exc}. Prepare the release again.") from exc
    if not same_place(Path(named), release / WEIGHTS_PATH):
        raise MisplacedError(
            f"{CONFIG_PBTXT_PATH}: is for another folder than {absolute(release)}: moved, or "
            f"mounted elsewhere; it names {named}; prepare it again where servers see it"
        )


def checkpoint_path(text: str) -> str:
    """Return the checkpoint's path that a rendered `config.pbtxt` names; "" if it names none."""
    key = re.escape(_quote(_CHECKPOINT_PATH))
    found = re.search(rf'key: {key} value {{ string_value: "((?:[^"\\]|\\.)*)" }}', text)
    return re.sub(r"\\(.)", lambda it: it[1].replace("n", "\n"), found[1]) if found else ""


def _lines(manifest: Manifest, checkpoint: Path) -> Iterator[str]:
    spec = manifest.spec
    yield f'name: "{protocol.MODEL_NAME}"'
    yield f'backend: "{protocol.BACKEND_NAME}"'
    yield f"max_batch_size: {protocol.MAX_BATCH_SIZE}"
    yield f"model_transaction_policy {{ decoupled: {str(spec.streaming).lower()} }}"
    # An engine that takes requests as they come waits for no batch.
    batches = spec.format.is_divided
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
    for key, value in _parameters(manifest, checkpoint).items():
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


def _parameters(manifest: Manifest, checkpoint: Path) -> dict[str, str]:
    spec, architecture = manifest.spec, manifest.architecture
    # Where the weights are for any number of GPUs, the server learns how many when it starts.
    sizes = {
        "tensor_para_size": str(spec.tensor_parallel),
        "pipeline_para_size": str(spec.pipeline_parallel),
    }
    return {
        protocol.FAMILY_PARAMETER: FAMILIES[manifest.family].triton_model_type,
        **(sizes if spec.format.is_divided else {}),
        # The format computed in, not the one stored.
        "data_type": spec.compute_dtype.value,
        _CHECKPOINT_PATH: str(checkpoint),
        # Missing, it logs an error; it takes effect only with eight GPUs on one NVSwitch.
        "enable_custom_all_reduce": "0",
        # For clients, who compare their tokenizer with it: the backend reads config.ini instead.
        # Its versions before 1.2 read the first two here, by these names.
        protocol.VOCABULARY_PARAMETER: str(architecture.vocabulary),
        protocol.END_PARAMETER: str(architecture.end_id),
        protocol.SOURCE_PARAMETER: f"{spec.repository}@{spec.revision}",
        # For the engine for CPUs and for clients; NVIDIA's backend reads past them.
        **spec.limits(architecture.context).to_parameters(),
    }


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
