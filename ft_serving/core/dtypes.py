"""Names the number formats of stored weights, and those that servers compute in."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class DType(StrEnum):
    """A floating-point format; the value is the word that FasterTransformer uses for it."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"

    @property
    def itemsize(self) -> int:
        """Bytes a value."""
        return 4 if self is DType.FP32 else 2

    @property
    def numpy(self) -> np.dtype[Any]:
        """The little-endian numpy type of the stored bits; bf16 has none of its own: uint16."""
        # Imported here, because the Pulumi program names formats, too, and does without numpy.
        import numpy as np

        return np.dtype({"fp32": "<f4", "fp16": "<f2", "bf16": "<u2"}[self.value])


class Precision(StrEnum):
    """A format that a server computes in: one of those that weights are stored in, or fp8."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    """The layers' matrices, and what they are multiplied with, are quantised while weights are
    loaded; nothing is stored so."""

    @property
    def dtype(self) -> DType:
        """The format of what is not quantised: embedding, norms, head, keys and values."""
        return DType.FP16 if self is Precision.FP8 else DType(self.value)
