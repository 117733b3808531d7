"""Products that are right, and the same whatever is computed beside them."""

import numpy as np
import pytest

from ft_serving.core.arrays import FloatArray
from ft_serving.server.engine.linear import Linear

# Small enough for the cache; one block; several blocks, even or not.
SHAPES = [(96, 288), (512, 128), (1024, 160), (768, 768), (5120, 256), (640, 3001), (640, 200)]


def matrix(inputs: int, outputs: int, *, transposed: bool) -> FloatArray:
    values = np.random.default_rng(1).standard_normal((inputs, outputs)).astype(np.float32)
    return np.ascontiguousarray(values.T).T if transposed else values


def rows(count: int, inputs: int) -> FloatArray:
    return np.random.default_rng(2).standard_normal((count, inputs)).astype(np.float32)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
def test_products_are_right_and_a_row_of_a_step_has_the_same_bits_beside_any_others(
    inputs: int, outputs: int, transposed: bool
) -> None:
    values = matrix(inputs, outputs, transposed=transposed)
    linear = Linear(values)
    given = rows(60, inputs)
    together, of_a_prompt = np.empty((2, 60, outputs), np.float32)
    linear.few(given, together)
    linear.many(given, of_a_prompt)
    for out in (together, of_a_prompt):
        np.testing.assert_allclose(out, given.astype(np.float64) @ values, rtol=0, atol=1e-3)
    for start, stop in [(0, 1), (7, 8), (0, 2), (3, 6), (1, 8), (0, 15), (0, 16), (5, 22), (9, 59)]:
        out = np.empty((stop - start, outputs), np.float32)
        linear.few(given[start:stop], out)
        np.testing.assert_array_equal(out, together[start:stop])
