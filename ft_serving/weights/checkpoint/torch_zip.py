"""Reads what `torch.save` writes since torch 1.6: a zip archive of a pickle and raw storages.

The archive holds `<stem>/data.pkl`, from newer versions `<stem>/byteorder`, and for every storage
an uncompressed `<stem>/data/<key>`, whose bytes are mapped in place. The checksum of a storage is
not computed, because that would read the whole file.
"""

import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ft_serving.weights.checkpoint.state_dict_pickle import (
    PickledTensor,
    key_of_state_dict,
    load_state_dict,
)
from ft_serving.weights.checkpoint.tensor import (
    DTYPE_BITS,
    FLOATS,
    FileContents,
    Tensor,
    check_shape,
)
from ft_serving.weights.errors import DOWNLOAD_AGAIN, refusal

MAX_PICKLE_BYTES = 4 << 20
"""Limit of data.pkl: a state dict takes about 100 bytes a tensor."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and the extra field
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1

# The errors of zipfile on a damaged archive, found by damaging many.
_ZIP_ERRORS = (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError)

# Files of torch.save before 1.6 begin so: with the pickled magic number 0x1950a86a20f9469cfc6c.
_LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

_AS_SAFETENSORS = "load it with torch and save its state dict as safetensors"
_IF_TRUSTED = f"If you trust the file, {_AS_SAFETENSORS}."


class _Span(NamedTuple):
    """The bytes of an archive's entry, header not included."""

    start: int
    size: int


def read_torch_zip(file: BinaryIO, path: Path) -> FileContents:
    """Return the places of the tensors of a file of `torch.save`, in the order of the state dict.

    No code of the file is run. Tensors may share bytes.

    Args:
        file: The file, open for reading.
        path: Its path, for the result and for messages.

    Raises:
        CheckpointError: The file is truncated, of the format before torch 1.6, or holds anything
            but a state dict of contiguous little-endian tensors.
    """
    file.seek(0)
    start = file.read(len(_LEGACY_START))
    if start == _LEGACY_START:
        raise refusal(
            path,
            ["it is in the format of torch before 1.6, which cannot be read safely"],
            _IF_TRUSTED,
        )
    if not start.startswith(_LOCAL_SIGNATURE):
        raise refusal(path, ["it is not a file of torch.save"], DOWNLOAD_AGAIN)
    try:
        with zipfile.ZipFile(file) as archive:
            spans = _spans(archive, file, path)
            stem = _stem(archive, spans, path)
            pickled = archive.read(f"{stem}/data.pkl")
    except _ZIP_ERRORS as exc:
        raise refusal(path, [f"it is truncated or damaged: {exc}"], DOWNLOAD_AGAIN) from exc
    folder = f"{stem}/data/"
    storages = {
        name.removeprefix(folder): span for name, span in spans.items() if name.startswith(folder)
    }
    return _place(_state_dict(pickled, path), storages, path)


def _spans(archive: zipfile.ZipFile, file: BinaryIO, path: Path) -> dict[str, _Span]:
    """Return the bytes of every entry, and refuse entries that overlap or are not plain."""
    spans: dict[str, _Span] = {}
    problems = []
    end, before = 0, ""
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        name = entry.filename
        if name in spans:
            problems.append(f"the entry {name!r} exists twice")
        if entry.flag_bits & _ENCRYPTED:
            problems.append(f"the entry {name!r} is encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            problems.append(f"the entry {name!r} is compressed")
        if not end <= entry.header_offset <= archive.start_dir - _LOCAL_HEADER.size:
            problems.append(f"the entry {name!r} overlaps {before!r} or the directory")
            continue
        file.seek(entry.header_offset)
        signature, *lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != _LOCAL_SIGNATURE:
            problems.append(f"the entry {name!r} has no local header")
        start = entry.header_offset + _LOCAL_HEADER.size + sum(lengths)
        spans[name] = _Span(start, entry.file_size)
        end, before = start + entry.compress_size, name
    if end > archive.start_dir:
        problems.append(f"the entry {before!r} overlaps the directory")
    if problems:
        raise refusal(path, problems, f"Download it again; if it is meant so, {_AS_SAFETENSORS}.")
    return spans


def _stem(archive: zipfile.ZipFile, spans: Mapping[str, _Span], path: Path) -> str:
    """Return the name of the archive's folder, whose data.pkl and byte order can be read."""
    stems = [name.removesuffix("/data.pkl") for name in spans if name.endswith("/data.pkl")]
    if len(stems) != 1:
        raise refusal(path, ["it is a zip archive without one data.pkl"], DOWNLOAD_AGAIN)
    [stem] = stems
    size = spans[f"{stem}/data.pkl"].size
    if size > MAX_PICKLE_BYTES:
        problem = f"its data.pkl has {size} bytes, allowed are {MAX_PICKLE_BYTES}"
        raise refusal(path, [problem], _IF_TRUSTED)
    # Without the entry torch assumes the reader's own order; published files are little-endian.
    if f"{stem}/byteorder" in spans:
        with archive.open(f"{stem}/byteorder") as entry:
            if entry.read(len("little") + 1) != b"little":
                remedy = f"On a machine of its byte order, {_AS_SAFETENSORS}."
                raise refusal(path, ["its byteorder is not little"], remedy)
    return stem


def _state_dict(pickled: bytes, path: Path) -> Mapping[str, PickledTensor]:
    try:
        return load_state_dict(pickled)
    except ValueError as exc:
        if key := key_of_state_dict(pickled):
            part = f"torch.load(FILE, map_location='cpu', weights_only=False)[{key!r}]"
            raise refusal(
                path,
                [f"it is a training checkpoint, with the state dict under {key!r}"],
                "Nothing in it was executed. If you trust the file, save that part, with "
                f"config.json beside it: torch.save({part}, 'FOLDER/pytorch_model.bin').",
            ) from exc
        remedy = f"Nothing in it was executed. {_IF_TRUSTED}"
        raise refusal(path, [f"its data.pkl: {exc}"], remedy) from exc


def _place(
    state_dict: Mapping[str, PickledTensor], storages: Mapping[str, _Span], path: Path
) -> FileContents:
    tensors, others, problems = {}, {}, []
    for name, pickled in state_dict.items():
        dtype = pickled.storage.dtype
        try:
            shape, offset = _layout(pickled, storages)
        except ValueError as exc:
            problems.append(f"{name!r}: {exc}")
            continue
        if dtype in FLOATS:
            tensors[name] = Tensor(
                name=name, dtype=FLOATS[dtype], shape=shape, path=path, offset=offset
            )
        else:
            others[name] = dtype
    if problems:
        raise refusal(path, problems, _IF_TRUSTED)
    return FileContents(tensors=tensors, others=others)


def _layout(pickled: PickledTensor, storages: Mapping[str, _Span]) -> tuple[tuple[int, ...], int]:
    """Return the shape of a tensor and the position of its first byte in the file."""
    storage = pickled.storage
    span = storages.get(storage.key)
    if span is None:
        raise ValueError(f"its storage {storage.key!r} is not in the archive")
    item_bytes = DTYPE_BITS[storage.dtype] // 8
    if storage.elements * item_bytes != span.size:
        raise ValueError(
            f"its storage should hold {storage.elements} values of {item_bytes} bytes, and has "
            f"{span.size} bytes"
        )
    shape = check_shape(pickled.shape)
    if not _is_contiguous(shape, pickled.strides):
        raise ValueError("its values are not contiguous")
    if pickled.metadata:
        raise ValueError("its values are still to be negated or conjugated")
    offset = pickled.offset
    if type(offset) is not int:
        raise ValueError("its offset in the storage is not a number")
    if not 0 <= offset <= storage.elements - math.prod(shape):
        raise ValueError(
            f"shape {list(shape)} from value {offset} on is beyond its storage of "
            f"{storage.elements} values"
        )
    return shape, span.start + offset * item_bytes


def _is_contiguous(shape: tuple[int, ...], strides: object) -> bool:
    if not isinstance(strides, tuple) or len(strides) != len(shape):
        return False
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        # The stride of a dimension of one value is never used, and is arbitrary.
        if size != 1 and stride != expected and 0 not in shape:
            return False
        expected *= size
    return True
