"""The tensors that clients and the backend exchange: one table for all who name them.

It follows the GPT-J interface of NVIDIA's fastertransformer_backend at its final commit c6936c3
(`all_models/gptj/fastertransformer/config.pbtxt`), and adds `min_length` and `presence_penalty`,
which that backend passes on to FasterTransformer where a configuration declares them.
"""

from dataclasses import dataclass
from enum import StrEnum

MODEL_NAME = "fastertransformer"
"""The model's name in Triton, and the folder that it lies in."""

BACKEND_NAME = "fastertransformer"
"""The folder below Triton's `backends` that serves it."""

MODEL_VERSION = "1"
"""The only version of the model: a change of weights is a new release, not a new version."""

MAX_BATCH_SIZE = 1024
"""Rows a request or a merged batch may have; it reserves no memory."""

RUNNING_METRIC = "ft_requests_running"
"""The CPU backend's gauge of requests that it has not answered yet, among Triton's metrics."""

DURATION_METRIC = "ft_request_duration_us"
"""The CPU backend's counter of microseconds from requests to their last responses."""

FAMILY_PARAMETER = "model_type"
VOCABULARY_PARAMETER = "vocab_size"
"""The parameter of config.pbtxt that says how many tokens the model has."""

END_PARAMETER = "end_id"
"""The parameter of config.pbtxt that says which token ends a text."""

SOURCE_PARAMETER = "weights_source"
"""The parameter of config.pbtxt that says what the weights were made from: `OWNER/NAME@REVISION`,
with a hash of the files as the revision where it was a folder."""

VARIABLE = -1
"""A dimension whose size each request decides."""


class TensorType(StrEnum):
    """A Triton data type, by its name in the inference protocol."""

    BOOL = "BOOL"
    INT32 = "INT32"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    FP32 = "FP32"


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: The tensor's name.
        dtype: Its data type.
        dims: Its shape without the leading batch dimension; `VARIABLE` where a request decides.
        scalar: Whether the backend sees one value a row: shape [batch] for [batch, 1] sent.
        optional: Whether a request may leave it out.
        ragged: Whether requests with different lengths of it may be merged into one batch.
    """

    name: str
    dtype: TensorType
    dims: tuple[int, ...]
    scalar: bool = False
    optional: bool = False
    ragged: bool = False


def _parameter(name: str, dtype: TensorType) -> TensorSpec:
    """One optional value a row."""
    return TensorSpec(name=name, dtype=dtype, dims=(1,), scalar=True, optional=True)


def _words(name: str) -> TensorSpec:
    """A list of words: row 0 their token ids, row 1 the offset of each word's end, -1 padded."""
    return TensorSpec(name=name, dtype=TensorType.INT32, dims=(2, VARIABLE), optional=True)


INPUTS = (
    TensorSpec(name="input_ids", dtype=TensorType.UINT32, dims=(VARIABLE,), ragged=True),
    _parameter("start_id", TensorType.UINT32),
    _parameter("end_id", TensorType.UINT32),
    TensorSpec(name="input_lengths", dtype=TensorType.UINT32, dims=(1,), scalar=True),
    TensorSpec(name="request_output_len", dtype=TensorType.UINT32, dims=(VARIABLE,)),
    _parameter("runtime_top_k", TensorType.UINT32),
    _parameter("runtime_top_p", TensorType.FP32),
    _parameter("beam_search_diversity_rate", TensorType.FP32),
    _parameter("temperature", TensorType.FP32),
    _parameter("len_penalty", TensorType.FP32),
    _parameter("repetition_penalty", TensorType.FP32),
    _parameter("presence_penalty", TensorType.FP32),
    _parameter("min_length", TensorType.INT32),
    _parameter("random_seed", TensorType.UINT64),
    _parameter("is_return_log_probs", TensorType.BOOL),
    _parameter("beam_width", TensorType.UINT32),
    _words("bad_words_list"),
    _words("stop_words_list"),
    _parameter("prompt_learning_task_name_ids", TensorType.UINT32),
    _parameter("top_p_decay", TensorType.FP32),
    _parameter("top_p_min", TensorType.FP32),
    _parameter("top_p_reset_ids", TensorType.UINT32),
)

OUTPUTS = (
    TensorSpec(name="output_ids", dtype=TensorType.UINT32, dims=(VARIABLE, VARIABLE)),
    TensorSpec(name="sequence_length", dtype=TensorType.UINT32, dims=(VARIABLE,)),
    TensorSpec(name="cum_log_probs", dtype=TensorType.FP32, dims=(VARIABLE,)),
    TensorSpec(name="output_log_probs", dtype=TensorType.FP32, dims=(VARIABLE, VARIABLE)),
)
