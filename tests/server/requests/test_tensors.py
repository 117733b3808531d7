"""Results become tensors."""

import numpy as np
import pytest

from ft_serving.core.protocol import TensorType
from ft_serving.server.requests import GenerationResult
from ft_serving.server.requests.request import to_tensors

UINT32 = {
    "output_ids": TensorType.UINT32,
    "sequence_length": TensorType.UINT32,
    "cum_log_probs": TensorType.FP32,
    "output_log_probs": TensorType.FP32,
}
INT32 = UINT32 | {"output_ids": TensorType.INT32, "sequence_length": TensorType.INT32}


def result(*, with_log_probs: bool) -> GenerationResult:
    return GenerationResult(
        output_ids=np.array([[[7, 8, 9, 1, 2]]], np.uint32),
        sequence_length=np.array([[5]], np.uint32),
        cum_log_probs=np.array([[-0.5]], np.float32) if with_log_probs else None,
        output_log_probs=np.array([[[-0.25, -0.25]]], np.float32) if with_log_probs else None,
        is_final=True,
    )


def test_log_probabilities_are_sent_only_if_there_are_any() -> None:
    assert list(to_tensors(result(with_log_probs=False), UINT32)) == [
        "output_ids",
        "sequence_length",
    ]
    tensors = to_tensors(result(with_log_probs=True), UINT32)
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "output_ids": [[[7, 8, 9, 1, 2]]],
        "sequence_length": [[5]],
        "cum_log_probs": [[-0.5]],
        "output_log_probs": [[[-0.25, -0.25]]],
    }


@pytest.mark.parametrize(("types", "integer"), [(UINT32, np.uint32), (INT32, np.int32)])
def test_outputs_have_the_types_that_the_configuration_declares(
    types: dict[str, TensorType], integer: type
) -> None:
    tensors = to_tensors(result(with_log_probs=True), types)
    assert [tensor.dtype for tensor in tensors.values()] == [
        integer,
        integer,
        np.float32,
        np.float32,
    ], "Triton's clients read the bytes by the type that the metadata has"


def test_outputs_are_contiguous() -> None:
    strided = np.arange(20, dtype=np.uint32).reshape(1, 2, 10)[:, :, ::2]
    odd = GenerationResult(
        output_ids=strided,
        sequence_length=np.array([[5, 5]], np.uint32),
        cum_log_probs=None,
        output_log_probs=None,
        is_final=True,
    )
    tensor = to_tensors(odd, UINT32)["output_ids"]
    assert tensor.flags.c_contiguous, "Triton takes an array's memory as it lies"
    assert tensor.tolist() == [[[0, 2, 4, 6, 8], [10, 12, 14, 16, 18]]]
