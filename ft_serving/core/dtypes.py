"""The number formats of weights and of computation."""

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
        # Imported here: the Pulumi program names formats too, and does without numpy.
        import numpy as np

        return np.dtype({"fp32": "<f4", "fp16": "<f2", "bf16": "<u2"}[self.value])
