"""Tensors become requests, and results tensors."""

import numpy as np
import pytest

from ft_serving.core import protocol
from ft_serving.core.protocol import TensorType
from ft_serving.server.arrays import AnyArray
from ft_serving.server.backend.tensors import to_request, to_tensors
from ft_serving.server.errors import RequestError
from ft_serving.server.requests import GenerationResult

UINT32 = {
    "output_ids": TensorType.UINT32,
    "sequence_length": TensorType.UINT32,
    "cum_log_probs": TensorType.FP32,
    "output_log_probs": TensorType.FP32,
}
INT32 = UINT32 | {"output_ids": TensorType.INT32, "sequence_length": TensorType.INT32}


def required() -> dict[str, AnyArray]:
    return {
        "input_ids": np.array([[7, 8, 9]], np.uint32),
        "input_lengths": np.array([3], np.uint32),
        "request_output_len": np.array([[2]], np.uint32),
    }


def result(*, with_log_probs: bool) -> GenerationResult:
    return GenerationResult(
        output_ids=np.array([[[7, 8, 9, 1, 2]]], np.uint32),
        sequence_length=np.array([[5]], np.uint32),
        cum_log_probs=np.array([[-0.5]], np.float32) if with_log_probs else None,
        output_log_probs=np.array([[[-0.25, -0.25]]], np.float32) if with_log_probs else None,
        is_final=True,
    )


def test_the_required_tensors_are_a_request() -> None:
    request = to_request(required())
    assert request.input_ids.tolist() == [[7, 8, 9]]
    assert request.input_lengths.tolist() == [3]
    assert request.request_output_len.tolist() == [[2]]
    assert request.runtime_top_k is None


def test_every_tensor_of_the_protocol_reaches_the_request() -> None:
    tensors = {spec.name: np.array([[place]]) for place, spec in enumerate(protocol.INPUTS)}
    request = to_request(tensors)
    found = {spec.name: getattr(request, spec.name) for spec in protocol.INPUTS}
    assert found == tensors


def test_missing_and_unknown_tensors_are_all_named() -> None:
    tensors = required() | {"memory_len": np.array([1]), "a_b": np.array([1])}
    del tensors["input_ids"], tensors["request_output_len"]
    with pytest.raises(RequestError) as caught:
        to_request(tensors)
    assert str(caught.value) == (
        "input_ids: is required and missing; request_output_len: is required and missing; "
        "a_b: is unknown here; memory_len: is unknown here"
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
