"""Reads the header of a safetensors file.

Format: https://huggingface.co/docs/safetensors#format. A u64 with the header's length, the header
in JSON, then the tensors' bytes without holes. Stricter than the reference reader in one point:
unknown fields of a tensor are refused.
"""

import math
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ft_serving.weights.checkpoint.tensor import (
    DTYPE_BITS,
    FLOATS,
    MAX_JSON_BYTES,
    FileContents,
    Tensor,
    check_shape,
    load_object,
)
from ft_serving.weights.errors import DOWNLOAD_AGAIN, refusal

_PREFIX = 8


class _Entry(NamedTuple):
    begin: int
    end: int
    name: str
    dtype: str
    shape: tuple[int, ...]


def read_safetensors(file: BinaryIO, path: Path) -> FileContents:
    """Return the places of the tensors of a safetensors file, in the order of their bytes.

    Args:
        file: The file, open for reading.
        path: Its path, for the result and for messages.

    Raises:
        CheckpointError: The file is truncated, or its header breaks a rule of the format.
    """
    size = file.seek(0, os.SEEK_END)
    try:
        header, start = _header(file, size)
    except ValueError as exc:
        raise refusal(path, [str(exc)], DOWNLOAD_AGAIN) from exc
    entries, problems = _entries(header, size - start)
    if problems:
        raise refusal(path, problems, DOWNLOAD_AGAIN)
    tensors = {
        entry.name: Tensor(
            name=entry.name,
            dtype=FLOATS[entry.dtype],
            shape=entry.shape,
            path=path,
            offset=start + entry.begin,
        )
        for entry in entries
        if entry.dtype in FLOATS
    }
    others = {entry.name: entry.dtype for entry in entries if entry.dtype not in FLOATS}
    return FileContents(tensors=tensors, others=others)


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header and the position of the first tensor's first byte."""
    file.seek(0)
    length = int.from_bytes(file.read(_PREFIX), "little")
    if length > min(size - _PREFIX, MAX_JSON_BYTES):
        raise ValueError(
            f"the file has {size} bytes and states a header of {length}: it is truncated, or not "
            "a safetensors file"
        )
    data = file.read(length)
    if not data.startswith(b"{"):
        raise ValueError("its header does not begin with '{': it is not a safetensors file")
    try:
        return load_object(data), _PREFIX + length
    except ValueError as exc:
        raise ValueError(f"its header is broken: {exc}") from exc


def _entries(header: dict[str, Any], data_bytes: int) -> tuple[list[_Entry], list[str]]:
    """Return the header's entries in the order of their bytes, and all that is wrong with them."""
    entries, problems = [], []
    for name, fields in header.items():
        try:
            if name != "__metadata__":
                entries.append(_entry(name, fields))
            elif not isinstance(fields, dict) or {*map(type, fields.values())} - {str}:
                problems.append(f"{name!r}: is not an object of strings")
        except ValueError as exc:
            problems.append(f"{name!r}: {exc}")
    end = 0
    for entry in sorted(entries):
        if entry.begin != end:
            problems.append(
                f"{entry.name!r} begins at byte {entry.begin} of the data, the one before it "
                f"ends at {end}"
            )
        end = max(end, entry.end)
    if end != data_bytes:
        problems.append(f"its tensors take {end} bytes, the file has {data_bytes} for them")
    return sorted(entries), problems


def _entry(name: str, fields: object) -> _Entry:
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("is not an object of dtype, shape and data_offsets")
    dtype = fields["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise ValueError(f"its dtype {dtype!r} is unknown")
    match fields["data_offsets"]:
        case [int(begin), int(end)] if type(begin) is type(end) is int and 0 <= begin <= end:
            pass
        case _:
            raise ValueError("its data_offsets are not a first byte and the one after the last")
    shape = check_shape(fields["shape"])
    if math.prod(shape) * DTYPE_BITS[dtype] != (end - begin) * 8:
        raise ValueError(f"{dtype} of shape {list(shape)} does not take {end - begin} bytes")
    return _Entry(begin, end, name, dtype, shape)
