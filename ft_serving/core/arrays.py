"""Names types of arrays, and casts weights between their formats."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ft_serving.core.dtypes import DType

AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
TokenArray = npt.NDArray[np.uint32]
IndexArray = npt.NDArray[np.intp]


def cast(source: AnyArray, source_dtype: DType, target: AnyArray, target_dtype: DType) -> None:
    """Write `source` into `target`, of the same shape, in another format.

    Rounds to nearest, ties to even. A value beyond the target's range becomes infinite; the caller
    decides whether that is an error.
    """
    if source_dtype is target_dtype:
        target[...] = source
        return
    wide = _widen(source, source_dtype)
    if target_dtype is DType.BF16:
        target[...] = _to_bf16(wide)
        return
    with np.errstate(over="ignore"):
        target[...] = wide


def is_finite(values: AnyArray, dtype: DType) -> bool:
    """Return whether all values are finite numbers."""
    if dtype is DType.BF16:
        exponent = np.uint16(0x7F80)
        return not bool(((values & exponent) == exponent).any())
    return bool(np.isfinite(values).all())


def _widen(source: AnyArray, dtype: DType) -> AnyArray:
    if dtype is DType.BF16:
        return (source.astype(np.uint32) << 16).view(np.float32)
    return source


def _to_bf16(source: AnyArray) -> AnyArray:
    bits = np.asarray(source, dtype=np.float32, order="C").view(np.uint32)
    # Adding half of the dropped part, and one more where the kept part is odd, rounds to even.
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16
    # The carry would turn a NaN into an infinity; keep it a quiet NaN.
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(is_nan, (bits >> 16) | np.uint32(0x40), rounded).astype(np.uint16)
