"""Casts, by literal bits."""

import numpy as np
import pytest

from ft_serving.core.arrays import cast, is_finite
from ft_serving.core.dtypes import DType


def bf16(*values: float) -> list[str]:
    target = np.empty(len(values), np.uint16)
    cast(np.array(values, np.float32), DType.FP32, target, DType.BF16)
    return [f"{bits:04x}" for bits in target]


SIGNALLING = np.array([0x7F800001], np.uint32).view(np.float32)[0]


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ((1.0, -2.0, 0.0, -0.0), ["3f80", "c000", "0000", "8000"]),
        ((1 + 2**-8, 1 + 3 * 2**-8), ["3f80", "3f82"]),
        ((1 + 2**-8 + 2**-20, 1 + 2**-8 - 2**-20), ["3f81", "3f80"]),
        ((np.inf, -np.inf, np.nan, SIGNALLING), ["7f80", "ff80", "7fc0", "7fc0"]),
    ],
    ids=["upper half", "ties to even", "nearest", "infinite and NaN"],
)
def test_bf16_rounds(values: tuple[float, ...], bits: list[str]) -> None:
    assert bf16(*values) == bits


def test_bf16_widens_to_fp32_exactly() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    wide = np.empty(bits.shape, np.float32)
    cast(bits, DType.BF16, wide, DType.FP32)
    narrow = np.empty_like(bits)
    cast(wide, DType.FP32, narrow, DType.BF16)
    numbers = (bits & 0x7FFF) <= 0x7F80
    assert (narrow[numbers] == bits[numbers]).all()
    assert np.isnan(wide[~numbers]).all()


def test_fp16_rounds_to_nearest_and_overflows_to_infinity() -> None:
    target = np.empty(4, np.float16)
    cast(np.array([1.0, 65504, 65520, -1e30], np.float32), DType.FP32, target, DType.FP16)
    assert target.tolist() == [1.0, 65504.0, np.inf, -np.inf]


def test_bf16_goes_to_fp16_by_value_not_by_bits() -> None:
    target = np.empty(2, np.float16)
    cast(np.array([0x3F80, 0x4049], np.uint16), DType.BF16, target, DType.FP16)
    assert target.tolist() == [1.0, 3.140625]


@pytest.mark.parametrize("dtype", list(DType))
def test_finite_is_told_from_infinite_and_nan(dtype: DType) -> None:
    for value, finite in ((1.5, True), (np.inf, False), (-np.inf, False), (np.nan, False)):
        stored = np.empty(3, dtype.numpy)
        cast(np.array([0, value, 1], np.float32), DType.FP32, stored, dtype)
        assert is_finite(stored, dtype) is finite, value
