"""GELU's two forms, against their definitions."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from ft_serving.server.engine.numpy_ops import GELU_EXACT, GELU_TANH, add_bias_gelu

Form = tuple[np.float32, ...]


def tanh_form(x: float) -> float:
    return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def exact(x: float) -> float:
    return x / 2 * math.erfc(-x / math.sqrt(2))


@pytest.mark.parametrize(("form", "definition"), [(GELU_TANH, tanh_form), (GELU_EXACT, exact)])
def test_gelu_is_its_definition_to_fp32s_precision(
    form: Form, definition: Callable[[float], float]
) -> None:
    found = np.linspace(-12, 12, 30_003, dtype=np.float32).reshape(3, -1)
    bias = np.linspace(0, 1, found.shape[1], dtype=np.float32)
    expected = np.array([definition(x) for x in (found + bias).ravel().tolist()])
    # Two rows at once, then the third.
    with np.errstate(over="ignore"):
        add_bias_gelu(found, bias, form, np.empty((2, 2, found.shape[1]), np.float32))
    error = np.abs(found.ravel() - expected) / np.maximum(1, np.abs(expected))
    assert error.max() < 2e-7


@pytest.mark.parametrize("form", [GELU_TANH, GELU_EXACT])
def test_gelu_of_numbers_far_from_0_is_themselves_or_0(form: Form) -> None:
    found = np.array([[-1e18, -1e5, -20, 0, 20, 1e5, 1e18]], np.float32)
    expected = np.maximum(found, 0)
    with np.errstate(over="ignore"):
        add_bias_gelu(found, np.zeros(7, np.float32), form, np.empty((2, 1, 7), np.float32))
    np.testing.assert_array_equal(found, expected)
