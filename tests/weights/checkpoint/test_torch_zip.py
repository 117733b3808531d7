import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ft_serving.core.dtypes import DType
from ft_serving.weights.checkpoint import open_checkpoint
from ft_serving.weights.checkpoint.state_dict_pickle import key_of_state_dict
from ft_serving.weights.checkpoint.torch_zip import MAX_PICKLE_BYTES
from ft_serving.weights.errors import CheckpointError
from tests.weights.checkpoint import torch_archive as torch

FILE = "pytorch_model.bin"
WRITTEN_BY_TORCH = [
    Path(__file__).parent / "data" / name for name in ("torch-1.12.1.bin", "torch-2.15.0.bin")
]

TWO_FLOATS = np.array([1.5, -2.0], "<f4").tobytes()
TWO = torch.storage("FloatStorage", "0", 2)
VECTOR = torch.tensor(TWO, (2,), (1,))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert FILE in str(caught.value), "a message without the file's name helps nobody"
    return str(caught.value)


def write(folder: Path, **tensors: bytes) -> Path:
    """Write a file whose storage "0" has two floats."""
    path = folder / FILE
    torch.write_archive(path, torch.state_dict(tensors), {"0": TWO_FLOATS})
    return path


@pytest.mark.parametrize("source", WRITTEN_BY_TORCH, ids=lambda path: path.stem)
def test_what_torch_writes_is_read_in_place(tmp_path: Path, source: Path) -> None:
    (tmp_path / FILE).symlink_to(source)
    expected = {
        "0.weight": (DType.FP32, [[0, 1, 2], [3, 4, 5]]),
        "0.bias": (DType.FP32, [0.5, -0.5]),
        "1.weight": (DType.FP32, [1, 1]),
        "1.bias": (DType.FP32, [0, 0]),
        "tied.weight": (DType.FP32, [[0, 1, 2], [3, 4, 5]]),
        "half": (DType.FP16, [0, 1, 2, 3, 4]),
        "bfloat16": (DType.BF16, [[0, 0x3F80, 0x4000], [0x4040, 0x4080, 0x40A0]]),
        "slice": (DType.FP32, [[4, 5, 6, 7], [8, 9, 10, 11]]),
        "row": (DType.FP32, [[0, 1, 2, 3]]),
        "scalar": (DType.FP32, -1e9),
        "empty": (DType.FP32, []),
    }
    with open_checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint) == list(expected), "the order is the state dict's"
        for name, (dtype, values) in expected.items():
            assert checkpoint[name].dtype is dtype
            assert checkpoint.array(name).tolist() == values
        assert checkpoint["empty"].shape == (0, 4)
        assert checkpoint["tied.weight"].offset == checkpoint["0.weight"].offset
        assert checkpoint.others == {"mask": "BOOL", "bytes": "U8", "index": "I64", "double": "F64"}


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    path = write(tmp_path, w=VECTOR)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        refusal(tmp_path)


def test_a_parameter_and_a_file_without_byte_order_are_read(tmp_path: Path) -> None:
    parameter = torch.call("torch._utils._rebuild_parameter", VECTOR, b"\x88", b"}")
    pickled = torch.state_dict({"w": VECTOR, "p": parameter})
    torch.write_entries(tmp_path / FILE, {"a/data.pkl": pickled, "a/data/0": TWO_FLOATS})
    with open_checkpoint(tmp_path) as checkpoint:
        values = {name: checkpoint.array(name).tolist() for name in checkpoint}
    assert values == {"w": [1.5, -2.0], "p": [1.5, -2.0]}


@pytest.mark.parametrize("key", ["module", "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("rest", [torch.integer(5), torch.call("argparse.Namespace")])
def test_a_training_checkpoint_is_told_with_the_command_that_takes_the_model_out(
    tmp_path: Path, key: str, rest: bytes
) -> None:
    inner = torch.call("collections.OrderedDict") + b"(" + torch.text("w") + VECTOR + b"u"
    write(tmp_path, epoch=torch.integer(3), **{key: inner}, rest=rest)
    message = refusal(tmp_path)
    assert f"training checkpoint, with the state dict under {key!r}" in message
    assert (
        f"torch.save(torch.load(FILE, map_location='cpu', weights_only=False)[{key!r}]" in message
    )


def test_the_versions_of_a_wrapped_models_modules_are_no_training_checkpoint() -> None:
    versions = b"}" + torch.text("module") + b"}" + torch.text("version") + torch.integer(1) + b"ss"
    pickled = torch.PROTOCOL_2 + b"}" + torch.text("w") + VECTOR + b"s" + versions + torch.STOP
    assert key_of_state_dict(pickled) is None


def storage(kind: str, key: str, elements: int) -> bytes:
    return torch.tensor(torch.storage(kind, key, elements), (2,), (1,))


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (torch.tensor(TWO, (2, 1), (1, 7)), None),
        (torch.tensor(TWO, (0,), (7,), 2), None),
        (torch.tensor(TWO, (3,), (1,)), "shape [3] from value 0 on is beyond its storage of 2"),
        (torch.tensor(TWO, (2,), (1,), 1), "shape [2] from value 1 on is beyond its storage of 2"),
        (torch.tensor(TWO, (1,), (1,), -1), "shape [1] from value -1 on is beyond its storage"),
        (torch.tensor(TWO, (1,), (1,), 2**70), "is beyond its storage"),
        (torch.tensor(TWO, (0,), (1,), 3), "shape [0] from value 3 on is beyond its storage"),
        (torch.tensor(TWO, (2,), (2,)), "not contiguous"),
        (torch.tensor(TWO, (1, 2), (1,)), "not contiguous"),
        (torch.tensor(TWO, (-2,), (1,)), "shape is not a list of sizes"),
        (torch.tensor(TWO, (2**62,), (1,)), "too large for any memory"),
        (storage("FloatStorage", "0", 3), "should hold 3 values"),
        (storage("FloatStorage", "0", -2), "should hold -2 values"),
        (storage("HalfStorage", "0", 2), "of 2 bytes, and has 8"),
        (storage("FloatStorage", "1", 2), "not in the archive"),
        (storage("FloatStorage", "../data.pkl", 2), "not in the archive"),
        (
            VECTOR.replace(b"Q" + torch.integer(0), b"Q" + torch.text("0")),
            "its offset in the storage is not a number",
        ),
        (
            VECTOR.removesuffix(b"tR") + b"}" + torch.text("neg") + b"\x88s" + b"tR",
            "its values are still to be negated",
        ),
    ],
)
def test_a_view_is_checked_against_its_storage(
    tmp_path: Path, pickled: bytes, message: str | None
) -> None:
    write(tmp_path, fine=VECTOR, the_tensor=pickled, another=pickled)
    if message is None:
        open_checkpoint(tmp_path).close()
        return
    found = refusal(tmp_path)
    assert "'the_tensor': " in found
    assert "'another': " in found, "all problems are told at once"
    assert "'fine'" not in found
    assert message in found


ENTRIES = {"a/data.pkl": torch.state_dict({"w": VECTOR}), "a/data/0": TWO_FLOATS}
NO_TENSORS = {"a/data.pkl": torch.state_dict({}), "a/data/0": TWO_FLOATS, "a/version": b"3\n"}
DIRECTORY = b"PK\x01\x02"


def write_twice(path: Path) -> None:
    torch.write_entries(path, ENTRIES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/data/0", bytes(8))


def broken(
    change: Callable[[bytearray], None], entries: dict[str, bytes] = ENTRIES
) -> Callable[[Path], None]:
    """Return what writes an archive and changes its bytes."""

    def write_broken(path: Path) -> None:
        torch.write_entries(path, entries)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)

    return write_broken


def claim_compression(data: bytearray) -> None:
    data[data.index(DIRECTORY) + 10] = zipfile.ZIP_DEFLATED


def lose_local_header(data: bytearray) -> None:
    data[data.rindex(b"PK\x03\x04")] = 0


def encrypt(data: bytearray) -> None:
    data[data.index(DIRECTORY) + 8] |= 1


def overlap(data: bytearray) -> None:
    first, second = data.index(DIRECTORY), data.rindex(DIRECTORY)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]


def reach_into_directory(data: bytearray) -> None:
    last = data.rindex(DIRECTORY)
    data[last + 20 : last + 28] = struct.pack("<II", 3, 3)


def damage_pickle(data: bytearray) -> None:
    data[:] = data.replace(b"FloatStorage", b"HalfFStorage", 1)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: torch.write_entries(p, {**ENTRIES, "a/byteorder": b"big"}), "order is not litt"),
        (lambda p: torch.write_entries(p, {**ENTRIES, "a/byteorder": b""}), "order is not little"),
        (lambda p: torch.write_entries(p, ENTRIES, zipfile.ZIP_DEFLATED), "pkl' is compressed"),
        (broken(claim_compression), "the entry 'a/data.pkl' is compressed"),
        (broken(lose_local_header), "the entry 'a/data/0' has no local header"),
        (broken(encrypt), "the entry 'a/data.pkl' is encrypted"),
        (broken(overlap, NO_TENSORS), "overlaps"),
        (broken(reach_into_directory, NO_TENSORS), "'a/version' overlaps the directory"),
        (broken(damage_pickle), "truncated or damaged: Bad CRC-32"),
        (write_twice, "the entry 'a/data/0' exists twice"),
        (lambda p: torch.write_archive(p, bytes(MAX_PICKLE_BYTES + 1), {}), "has 4194305 bytes"),
        (lambda p: torch.write_entries(p, {"a/version": b""}), "without one data.pkl"),
        (lambda p: torch.write_entries(p, dict.fromkeys(["a/data.pkl", "b/data.pkl"], b"")), "one"),
        (lambda p: p.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80"), "before 1.6"),
        (lambda p: p.write_bytes(b"<!DOCTYPE html>" * 100), "it is not a file of torch.save"),
    ],
)
def test_an_archive_that_torch_does_not_write_is_refused(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / FILE)
    assert message in refusal(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_a_damaged_archive_is_refused_or_read_within_its_bounds(tmp_path: Path) -> None:
    path = write(tmp_path, w=VECTOR)
    whole = path.read_bytes()
    accepted = 0
    for position in range(len(whole)):
        for value in {0, whole[position] ^ 1, 0xFF} - {whole[position]}:
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                checkpoint = open_checkpoint(tmp_path)
            except CheckpointError:
                continue
            with checkpoint:
                accepted += 1
                for tensor in checkpoint.values():
                    assert tensor.offset + tensor.nbytes <= len(whole)
    assert accepted > 0, "a flipped bit among the values cannot be seen here"


GIB = 1 << 30


def test_entries_beyond_4_gib_are_read(tmp_path: Path) -> None:
    """A sparse file of 5 GiB: GPT-J's pytorch_model.bin has 24."""
    elements = 5 * GIB // 2
    big = torch.tensor(torch.storage("HalfStorage", "0", elements), (elements,), (1,))
    small = torch.tensor(torch.storage("FloatStorage", "1", 2), (2,), (1,))
    entries = {
        "archive/data/0": (5 * GIB, b""),
        "archive/data/1": (8, TWO_FLOATS),
        "archive/data.pkl": (0, torch.state_dict({"big": big, "w": small})),
    }
    write_zip64(tmp_path / FILE, entries)
    assert (tmp_path / FILE).stat().st_blocks * 512 < 1 << 20, "the file must be sparse"
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint["big"].nbytes == 5 * GIB
        assert checkpoint["w"].offset > 5 * GIB
        assert checkpoint.array("w").tolist() == [1.5, -2.0]
        assert checkpoint.array("big")[-1] == 0


def write_zip64(path: Path, entries: dict[str, tuple[int, bytes]]) -> None:
    """Write entries of a size and first bytes, with the rest of each a hole in the file."""
    directory = b""
    with path.open("wb") as file:
        for name, (least, content) in entries.items():
            size = max(least, len(content))
            crc = zlib.crc32(content) if size == len(content) else 0
            position = file.tell()
            common = struct.pack("<HHHHI", 0, 0, 0, 0, crc) + b"\xff" * 8
            name_bytes = name.encode()
            sizes = struct.pack("<QQ", size, size)
            file.write(b"PK\x03\x04" + struct.pack("<H", 45) + common)
            file.write(struct.pack("<HH", len(name_bytes), 20) + name_bytes)
            file.write(struct.pack("<HH", 1, 16) + sizes + content)
            file.seek(size - len(content), 1)
            directory += b"PK\x01\x02" + struct.pack("<HH", 45, 45) + common
            directory += struct.pack("<HHHHHI", len(name_bytes), 28, 0, 0, 0, 0) + b"\xff" * 4
            directory += name_bytes + struct.pack("<HH", 1, 24) + sizes
            directory += struct.pack("<Q", position)
        start = file.tell()
        count = len(entries)
        file.write(directory)
        file.write(b"PK\x06\x06" + struct.pack("<QHHII", 44, 45, 45, 0, 0))
        file.write(struct.pack("<QQQQ", count, count, len(directory), start))
        file.write(b"PK\x06\x07" + struct.pack("<IQI", 0, start + len(directory), 1))
        file.write(
            b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, 2**32 - 1, 2**32 - 1, 0)
        )
