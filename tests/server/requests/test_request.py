"""A request has the protocol's tensors, and no others."""

import numpy as np
import pytest

from ft_serving.core.arrays import AnyArray
from ft_serving.core.parameters import INPUTS
from ft_serving.server.errors import RequestError
from ft_serving.server.requests import GenerationRequest


def required() -> dict[str, AnyArray]:
    return {
        "input_ids": np.array([[7, 8, 9]], np.uint32),
        "input_lengths": np.array([3], np.uint32),
        "request_output_len": np.array([[2]], np.uint32),
    }


def test_a_request_has_the_tensors_of_the_protocol() -> None:
    assert GenerationRequest(**required()).tensors.keys() == required().keys()
    tensors = {spec.name: np.array([[place]]) for place, spec in enumerate(INPUTS)}
    assert GenerationRequest(**tensors).tensors == tensors


def test_missing_and_unknown_tensors_are_all_named() -> None:
    tensors = required() | {"memory_len": np.array([1]), "a_b": np.array([1])}
    del tensors["input_ids"], tensors["request_output_len"]
    with pytest.raises(RequestError) as caught:
        GenerationRequest(**tensors)
    assert str(caught.value) == (
        "input_ids: is required and missing; request_output_len: is required and missing; "
        "a_b: is unknown here; memory_len: is unknown here"
    )
