"""FasterTransformer's tensors by their names: those of a request, and those of its result."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ft_serving.core.arrays import AnyArray, FloatArray, TokenArray
from ft_serving.core.protocol import TensorType

GenerationRequest = Mapping[str, AnyArray]
"""The input tensors of a request, by the names of `ft_serving.core.parameters.INPUTS`.

`input_ids` are [B, S], padded on the right, and `input_lengths` [B] the prompts' tokens without
padding. With S = 0 texts start from `start_id`, which they then do not contain. A parameter has one
value, for all rows, or B; [B, 1] is read as [B]. Lists of words are [B, 2, n], or [2, n] for all
rows. `plan_request` checks them.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationResult:
    """The output tensors; B rows, K beams, best first, N the largest `request_output_len`.

    Attributes:
        output_ids: [B, K, S + N], each the prompt without padding, the generated tokens right
            behind it, and `end_id` up to the end.
        sequence_length: [B, K], S plus the generated tokens, the one that ended the text
            included. For a prompt shorter than S that is more than the text has.
        cum_log_probs: [B, K], the sum of the generated tokens' log probabilities under the whole
            vocabulary, after temperature and penalties. None unless asked for.
        output_log_probs: [B, K, N], of each generated token, zero behind the last; None unless
            asked for. In top-k sampling a token's share of the top k: zero throughout for
            greedy texts.
        is_final: Whether generation has ended; a cancelled request's result is not final.
    """

    output_ids: TokenArray
    sequence_length: npt.NDArray[np.uint32]
    cum_log_probs: FloatArray | None
    output_log_probs: FloatArray | None
    is_final: bool


_NUMPY = {
    TensorType.INT32: np.dtype(np.int32),
    TensorType.UINT32: np.dtype(np.uint32),
    TensorType.FP32: np.dtype(np.float32),
}


def to_tensors(result: GenerationResult, types: Mapping[str, TensorType]) -> dict[str, AnyArray]:
    """Return the output tensors of a result, in row-major order; None is left out.

    Args:
        result: The text so far.
        types: The data type of each output, as config.pbtxt declares it.
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
