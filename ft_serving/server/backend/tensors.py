"""Turns results into the protocol's tensors."""

from collections.abc import Mapping

import numpy as np

from ft_serving.core.protocol import TensorType
from ft_serving.server.arrays import AnyArray
from ft_serving.server.requests import GenerationResult

_NUMPY = {
    TensorType.INT32: np.dtype(np.int32),
    TensorType.UINT32: np.dtype(np.uint32),
    TensorType.FP32: np.dtype(np.float32),
}


def to_tensors(result: GenerationResult, types: Mapping[str, TensorType]) -> dict[str, AnyArray]:
    """Return the output tensors of a result, in row-major order.

    Args:
        result: What the engine has generated so far.
        types: The data type of each output, as config.pbtxt declares it.

    Returns:
        output_ids [B, K, S + N] and sequence_length [B, K]; cum_log_probs [B, K] and
        output_log_probs [B, K, N] only if the request wants them.
    """
    tensors = {
        "output_ids": result.output_ids,
        "sequence_length": result.sequence_length,
        "cum_log_probs": result.cum_log_probs,
        "output_log_probs": result.output_log_probs,
    }
    return {
        name: np.ascontiguousarray(tensor, _NUMPY[types[name]])
        for name, tensor in tensors.items()
        if tensor is not None
    }
