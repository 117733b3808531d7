"""Names the tensors and parameters that clients and the backend exchange.

The protocol follows the GPT-J interface of NVIDIA's fastertransformer_backend at its final commit
c6936c3 (`all_models/gptj/fastertransformer/config.pbtxt`), and adds `min_length` and
`presence_penalty`, which that backend passes on to FasterTransformer where a configuration declares
them. The inputs are in `ft_serving.core.parameters`.
"""

from dataclasses import dataclass
from enum import StrEnum


class InferenceProtocol(StrEnum):
    """The two ways of Triton's inference protocol."""

    HTTP = "http"
    GRPC = "grpc"


MODEL_NAME = "fastertransformer"
"""The model's name in Triton, and its folder's."""

BACKEND_NAME = "fastertransformer"
"""The name of the backend that serves it, and of its folder below Triton's `backends`."""

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
"""The parameter of config.pbtxt that says from what the weights were made: `OWNER/NAME@REVISION`,
or a folder's name with a hash of its files as the revision."""

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
    """An input or output.

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


OUTPUTS = (
    TensorSpec(name="output_ids", dtype=TensorType.UINT32, dims=(VARIABLE, VARIABLE)),
    TensorSpec(name="sequence_length", dtype=TensorType.UINT32, dims=(VARIABLE,)),
    TensorSpec(name="cum_log_probs", dtype=TensorType.FP32, dims=(VARIABLE,)),
    TensorSpec(name="output_log_probs", dtype=TensorType.FP32, dims=(VARIABLE, VARIABLE)),
)
