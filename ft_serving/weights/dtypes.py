"""The three number formats of weights, in numpy's terms."""

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]


class DType(StrEnum):
    """A floating-point format; the value is the word that FasterTransformer uses for it."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"

    @property
    def numpy(self) -> np.dtype[Any]:
        """The little-endian numpy type of the stored bits; bf16 has none of its own: uint16."""
        return np.dtype({"fp32": "<f4", "fp16": "<f2", "bf16": "<u2"}[self.value])

    @property
    def itemsize(self) -> int:
        """Bytes a value."""
        return 4 if self is DType.FP32 else 2


def cast(source: AnyArray, source_dtype: DType, target: AnyArray, target_dtype: DType) -> None:
    """Write `source` into `target`, of the same shape, in another format.

    Rounds to nearest, ties to even. A value beyond the target's range becomes infinite; whether
    that is an error is the caller's to say.
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
