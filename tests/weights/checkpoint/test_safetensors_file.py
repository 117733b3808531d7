import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

from ft_serving.core.arrays import AnyArray
from ft_serving.core.dtypes import DType
from ft_serving.weights.checkpoint import Checkpoint, Tensor, open_checkpoint
from ft_serving.weights.errors import CheckpointError

FILE = "model.safetensors"


def write(folder: Path, header: bytes | dict[str, Any], data: bytes = b"") -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / FILE).write_bytes(len(text).to_bytes(8, "little") + text + data)


def entry(dtype: str, shape: Any, begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert FILE in str(caught.value), "a message without the file's name helps nobody"
    return str(caught.value)


def test_literal_bytes_are_read_where_the_header_says(tmp_path: Path) -> None:
    header = (
        b'{"__metadata__":{"format":"pt"},'
        b'"w":{"dtype":"F32","shape":[1,2],"data_offsets":[3,11]},'
        b'"h":{"dtype":"F16","shape":[],"data_offsets":[11,13]},'
        b'"m":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}   '
    )
    assert len(header) == 0xC7
    data = b"\x01\x00\x01" + b"\x00\x00\x80\x3f\x00\x00\x00\xc0" + b"\x00\x3c"
    (tmp_path / FILE).write_bytes(b"\xc7\0\0\0\0\0\0\0" + header + data)
    with open_checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint) == ["w", "h"], "tensors come in the order of their bytes"
        assert checkpoint["w"] == Tensor(
            name="w", dtype=DType.FP32, shape=(1, 2), path=tmp_path / FILE, offset=210
        )
        assert checkpoint["w"].nbytes == 8
        assert checkpoint["h"].nbytes == 2, "a scalar has one value"
        assert checkpoint.array("w").tolist() == [[1.0, -2.0]], "210 is not aligned to 4"
        assert checkpoint.array("h").tolist() == 1.0
        assert checkpoint.others == {"m": "BOOL"}


def test_what_the_safetensors_library_writes_reads_back_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, AnyArray] = {
        "a": rng.standard_normal((3, 5)).astype(np.float32),
        "b": rng.standard_normal((2, 3, 7)).astype(np.float16),
        "scalar": np.array(-1e9, np.float32),
        "empty": np.zeros((0, 4), np.float32),
    }
    others: dict[str, AnyArray] = {
        "mask": np.tril(np.ones((4, 4), bool)),
        "bytes": np.arange(5, dtype=np.uint8),
        "ids": np.arange(4),
        "double": np.zeros(2),
    }
    save_file({**arrays, **others}, tmp_path / FILE, {"format": "pt"})
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.keys() == arrays.keys()
        assert {n: t.dtype.value for n, t in checkpoint.items()} == {
            "a": "fp32",
            "b": "fp16",
            "scalar": "fp32",
            "empty": "fp32",
        }
        for name, expected in arrays.items():
            found = checkpoint.array(name)
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype
            assert found.tobytes() == expected.tobytes()
        assert checkpoint.others == {"mask": "BOOL", "bytes": "U8", "ids": "I64", "double": "F64"}


def test_bf16_of_the_safetensors_library_comes_as_its_bits(tmp_path: Path) -> None:
    bits = np.array([[0x3F80, 0xC000], [0x7F80, 0x0001]], "<u2")
    spec = TensorSpec(
        dtype="bfloat16", shape=[2, 2], data_ptr=bits.ctypes.data, data_len=bits.nbytes
    )
    serialize_file({"w": spec}, tmp_path / FILE)
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint["w"].dtype is DType.BF16
        assert checkpoint.array("w").tolist() == [[0x3F80, 0xC000], [0x7F80, 0x0001]]


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    save_file({"a": np.ones((2, 3), np.float32), "b": np.ones(3, np.float16)}, tmp_path / FILE)
    whole = (tmp_path / FILE).read_bytes()
    for length in range(0, len(whole), 5):
        (tmp_path / FILE).write_bytes(whole[:length])
        refusal(tmp_path)


@pytest.mark.parametrize("length", [100_000_001, 2**64 - 1])
def test_a_header_that_is_too_long_is_refused_unread(tmp_path: Path, length: int) -> None:
    with (tmp_path / FILE).open("wb") as file:
        file.write(length.to_bytes(8, "little") + b"{}")
        file.truncate(200_000_000)
    assert f"states a header of {length}" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b' {"w":1}', "does not begin with '{'"),
        (b'{"w":', "header is broken"),
        (b'{"\xff":1}', "header is broken"),
        (b'{"w":' + b"[" * 100_000, "nests too deeply"),
        (b'{"w":' + b"9" * 5000 + b"}", "header is broken"),
        (b'{"w":{},"w":{}}', "has the key 'w' twice"),
        (b'{"w":{"dtype":"F32","dtype":"F16"}}', "has the key 'dtype' twice"),
    ],
)
def test_a_header_that_is_not_one_json_object_is_refused(
    tmp_path: Path, header: bytes, message: str
) -> None:
    write(tmp_path, header)
    assert message in refusal(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "is not an object of dtype, shape and data_offsets"),
        ({**entry("F32", [1], 0, 4), "x": 1}, "is not an object of dtype, shape and data_offsets"),
        (entry("F33", [1], 0, 4), "dtype 'F33' is unknown"),
        ({**entry("F32", [1], 0, 4), "dtype": 32}, "dtype 32 is unknown"),
        (entry("F32", [-1], 0, 4), "shape is not a list of sizes"),
        (entry("F32", [True], 0, 4), "shape is not a list of sizes"),
        (entry("F32", [1], 4, 0), "data_offsets are not"),
        (entry("F32", [1], -4, 0), "data_offsets are not"),
        (entry("F32", [1], False, 4), "data_offsets are not"),
        ({**entry("F32", [1], 0, 4), "data_offsets": [0, 4, 8]}, "data_offsets are not"),
        (entry("F32", [2], 0, 4), "F32 of shape [2] does not take 4 bytes"),
        (entry("F4", [1], 0, 1), "F4 of shape [1] does not take 1 bytes"),
        (entry("F32", [2**62], 0, 4), "too large for any memory"),
        (entry("F32", [0, 2**62], 0, 0), "too large for any memory"),
        (entry("F32", [1] * 65, 0, 4), "too large for any memory"),
    ],
)
def test_an_entry_that_breaks_a_rule_is_refused_by_name(
    tmp_path: Path, fields: Any, message: str
) -> None:
    write(tmp_path, {"the.tensor": fields}, b"1234")
    found = refusal(tmp_path)
    assert "'the.tensor': " in found
    assert message in found


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (entry("F32", [1], 2, 6), "'b' begins at byte 2 of the data, the one before it ends at 4"),
        (entry("F32", [1], 5, 9), "'b' begins at byte 5 of the data, the one before it ends at 4"),
        (entry("F32", [2**40], 4, 4 + 2**42), "take 4398046511108 bytes, the file has 8"),
        (entry("F32", [0], 4, 4), "its tensors take 4 bytes, the file has 8 for them"),
    ],
)
def test_overlaps_holes_and_ends_beyond_the_file_are_refused(
    tmp_path: Path, second: dict[str, Any], message: str
) -> None:
    write(tmp_path, {"a": entry("F32", [1], 0, 4), "b": second}, b"12345678")
    assert message in refusal(tmp_path)


@pytest.mark.parametrize("metadata", [[], {"format": 1}])
def test_metadata_must_be_strings(tmp_path: Path, metadata: Any) -> None:
    write(tmp_path, {"__metadata__": metadata})
    assert "'__metadata__': is not an object of strings" in refusal(tmp_path)


def test_all_broken_entries_are_reported_at_once_but_not_endlessly(tmp_path: Path) -> None:
    write(tmp_path, {f"t{i:04}" + "x" * 5000: 0 for i in range(1000)})
    message = refusal(tmp_path)
    assert "'t0000x" in message
    assert "'t0007x" in message
    assert "and 992 more" in message
    assert len(message) < 5000, "names of a hostile file must not flood the log"


@pytest.mark.slow
def test_a_damaged_file_is_refused_or_read_within_its_bounds(tmp_path: Path) -> None:
    save_file({"a": np.ones((2, 3), np.float32), "b": np.ones(3, np.float16)}, tmp_path / FILE)
    whole = (tmp_path / FILE).read_bytes()
    header_end = 8 + int.from_bytes(whole[:8], "little")
    accepted = 0
    for position in range(header_end):
        for value in {0, 0x22, 0x2D, 0x30, 0x39, 0x7B, 0xFF} - {whole[position]}:
            damaged = whole[:position] + bytes([value]) + whole[position + 1 :]
            (tmp_path / FILE).write_bytes(damaged)
            try:
                checkpoint: Checkpoint = open_checkpoint(tmp_path)
            except CheckpointError:
                continue
            with checkpoint:
                accepted += 1
                total = sum(len(checkpoint.array(name).tobytes()) for name in checkpoint)
            assert total <= len(whole) - header_end
    assert accepted < header_end, "only bytes within names may change unnoticed"
