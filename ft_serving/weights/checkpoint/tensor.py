"""The place of a tensor, the checks of its shape, and strict JSON: the readers share them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_serving.core.dtypes import DType

MAX_JSON_BYTES = 100_000_000
"""Limit of a header or an index, as in the safetensors library."""

FLOATS: Mapping[str, DType] = {"F32": DType.FP32, "F16": DType.FP16, "BF16": DType.BF16}
"""The formats of weights, by safetensors' word for them."""

DTYPE_BITS: Mapping[str, int] = {
    **dict.fromkeys(["F4"], 4),
    **dict.fromkeys(["F6_E2M3", "F6_E3M2"], 6),
    **dict.fromkeys(["BOOL", "U8", "I8"], 8),
    **dict.fromkeys(["F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["I16", "U16", "F16", "BF16"], 16),
    **dict.fromkeys(["I32", "U32", "F32"], 32),
    **dict.fromkeys(["I64", "U64", "F64", "C64"], 64),
}
"""Bits a value, of every word that safetensors 0.8 knows."""

# The dimensions are numpy's limit; so many elements of 64 bits are still addressable.
_MAX_DIMENSIONS = 64
_MAX_ELEMENTS = 2**56


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """The place of a tensor's bytes, which are contiguous, in C order, little-endian.

    Attributes:
        name: Its name in the checkpoint.
        dtype: Format of its values.
        shape: Its dimensions; empty for a scalar.
        path: The file that holds it.
        offset: Bytes from the file's start to the first value; need not be aligned.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    path: Path
    offset: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, kw_only=True, slots=True)
class FileContents:
    """The tensors of one file.

    Attributes:
        tensors: Those in a format of weights.
        others: Name and dtype, in safetensors' word, of those in any other format: old
            checkpoints carry their attention masks as booleans or bytes.
    """

    tensors: Mapping[str, Tensor]
    others: Mapping[str, str]


def check_shape(shape: object) -> tuple[int, ...]:
    """Return a shape that a file states as a tuple.

    Raises:
        ValueError: It is not a sequence of sizes, or too large for any memory.
    """
    if not isinstance(shape, list | tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("its shape is not a list of sizes")
    # A dimension of 0 does not excuse the others: numpy refuses such a shape, too.
    if len(shape) > _MAX_DIMENSIONS or math.prod(max(n, 1) for n in shape) > _MAX_ELEMENTS:
        raise ValueError("its shape is too large for any memory")
    return tuple(shape)


def load_object(data: bytes) -> dict[str, Any]:
    """Parse a UTF-8 JSON object in which no object repeats a key: readers differ in which counts.

    Raises:
        ValueError: It is not JSON, not an object, repeats a key, or nests too deeply.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError as exc:
        raise ValueError("nests too deeply") from exc
    if isinstance(value, dict):
        return value
    raise ValueError("is not a JSON object")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"has the key {key!r} twice")
        result[key] = value
    return result
