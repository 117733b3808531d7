import struct
import zipfile
import zlib
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
WRITTEN_BY_TORCH = sorted((Path(__file__).parent / "data").glob("torch-*.bin"))

TWO_FLOATS = np.array([1.5, -2.0], "<f4").tobytes()
TWO = torch.storage("FloatStorage", "0", 2)
VECTOR = torch.tensor(TWO, (2,), (1,))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert FILE in str(caught.value), "a message without the file's name helps nobody"
    return str(caught.value)


def test_there_are_files_of_an_old_and_a_new_torch() -> None:
    assert [path.name for path in WRITTEN_BY_TORCH] == ["torch-1.12.1.bin", "torch-2.15.0.bin"]


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


@pytest.mark.parametrize("source", WRITTEN_BY_TORCH, ids=lambda path: path.stem)
def test_a_truncated_file_of_torch_is_refused(tmp_path: Path, source: Path) -> None:
    whole = source.read_bytes()
    for length in [*range(0, len(whole), 61), len(whole) - 1]:
        (tmp_path / FILE).write_bytes(whole[:length])
        refusal(tmp_path)


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, torch.state_dict({"w": VECTOR}), {"0": TWO_FLOATS})
    whole = (tmp_path / FILE).read_bytes()
    for length in range(len(whole)):
        (tmp_path / FILE).write_bytes(whole[:length])
        refusal(tmp_path)


def test_a_state_dict_as_built_here_is_read(tmp_path: Path) -> None:
    items = {"w": VECTOR, "p": torch.call("torch._utils._rebuild_parameter", VECTOR, b"\x88", b"}")}
    torch.write_archive(tmp_path / FILE, torch.state_dict(items), {"0": TWO_FLOATS})
    with open_checkpoint(tmp_path) as checkpoint:
        assert {n: checkpoint.array(n).tolist() for n in checkpoint} == {
            "w": [1.5, -2.0],
            "p": [1.5, -2.0],
        }


def test_files_before_torch_2_state_no_byte_order(tmp_path: Path) -> None:
    entries = {"a/data.pkl": torch.state_dict({"w": VECTOR}), "a/data/0": TWO_FLOATS}
    torch.write_entries(tmp_path / FILE, entries)
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.array("w").tolist() == [1.5, -2.0]


@pytest.mark.parametrize("key", ["module", "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("rest", [torch.integer(5), torch.call("argparse.Namespace")])
def test_a_training_checkpoint_is_told_with_the_command_that_takes_the_model_out(
    tmp_path: Path, key: str, rest: bytes
) -> None:
    inner = torch.call("collections.OrderedDict") + b"(" + torch.text("w") + VECTOR + b"u"
    pickled = torch.state_dict({"epoch": torch.integer(3), key: inner, "rest": rest})
    torch.write_archive(tmp_path / FILE, pickled, {"0": TWO_FLOATS})
    message = refusal(tmp_path)
    assert f"training checkpoint, with the state dict under {key!r}" in message
    assert (
        f"torch.save(torch.load(FILE, map_location='cpu', weights_only=False)[{key!r}]" in message
    )


def test_the_versions_of_a_wrapped_models_modules_are_no_training_checkpoint() -> None:
    versions = b"}" + torch.text("module") + b"}" + torch.text("version") + torch.integer(1) + b"ss"
    pickled = torch.PROTOCOL_2 + b"}" + torch.text("w") + VECTOR + b"s" + versions + torch.STOP
    assert key_of_state_dict(pickled) is None


@pytest.mark.parametrize("order", [b"big", b"", b"little!", b"LITTLE"])
def test_another_byte_order_is_refused(tmp_path: Path, order: bytes) -> None:
    entries = {
        "a/data.pkl": torch.state_dict({"w": VECTOR}),
        "a/data/0": TWO_FLOATS,
        "a/byteorder": order,
    }
    torch.write_entries(tmp_path / FILE, entries)
    assert "its byteorder is not little" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (torch.tensor(TWO, (3,), (1,)), "shape [3] from value 0 on is beyond its storage of 2"),
        (torch.tensor(TWO, (2,), (1,), 1), "shape [2] from value 1 on is beyond its storage of 2"),
        (torch.tensor(TWO, (1,), (1,), -1), "shape [1] from value -1 on is beyond its storage"),
        (torch.tensor(TWO, (1,), (1,), 2**70), "is beyond its storage"),
        (torch.tensor(TWO, (2, 1), (1, 7)), None),
        (torch.tensor(TWO, (0,), (7,), 2), None),
        (torch.tensor(TWO, (0,), (1,), 3), "shape [0] from value 3 on is beyond its storage"),
        (torch.tensor(TWO, (2,), (2,)), "not contiguous"),
        (torch.tensor(TWO, (2,), (0,)), "not contiguous"),
        (torch.tensor(TWO, (2,), (-1,)), "not contiguous"),
        (torch.tensor(TWO, (1, 2), (1,)), "not contiguous"),
        (torch.tensor(TWO, (-2,), (1,)), "shape is not a list of sizes"),
        (torch.tensor(TWO, (2**62,), (1,)), "too large for any memory"),
        (torch.tensor(TWO, (1,) * 65, (1,) * 65), "too large for any memory"),
        (torch.tensor(torch.storage("FloatStorage", "0", 3), (2,), (1,)), "should hold 3 values"),
        (torch.tensor(torch.storage("FloatStorage", "0", -2), (2,), (1,)), "should hold -2 values"),
        (torch.tensor(torch.storage("HalfStorage", "0", 2), (2,), (1,)), "of 2 bytes, and has 8"),
        (torch.tensor(torch.storage("FloatStorage", "1", 2), (2,), (1,)), "not in the archive"),
        (
            torch.tensor(torch.storage("FloatStorage", "../data.pkl", 2), (2,), (1,)),
            "not in the archive",
        ),
        (
            torch.tensor(torch.storage("ByteStorage", "archive/byteorder", 6), (6,), (1,)),
            "not in the archive",
        ),
        (
            VECTOR.replace(b"Q" + torch.integer(0), b"Q" + torch.text("0")),
            "its offset in the storage is not a number",
        ),
        (torch.tensor(torch.storage("ByteStorage", "0", 8), (9,), (1,)), "beyond its storage"),
    ],
)
def test_a_view_is_checked_against_its_storage(
    tmp_path: Path, pickled: bytes, message: str | None
) -> None:
    contents = torch.state_dict({"the.tensor": pickled})
    torch.write_archive(tmp_path / FILE, contents, {"0": TWO_FLOATS})
    if message is None:
        open_checkpoint(tmp_path).close()
        return
    found = refusal(tmp_path)
    assert "'the.tensor': " in found
    assert message in found


def test_a_lazily_negated_tensor_is_refused(tmp_path: Path) -> None:
    negated = VECTOR.removesuffix(b"tR") + b"}" + torch.text("neg") + b"\x88s" + b"tR"
    torch.write_archive(tmp_path / FILE, torch.state_dict({"w": negated}), {"0": TWO_FLOATS})
    assert "'w': its values are still to be negated" in refusal(tmp_path)


def test_all_broken_tensors_are_reported_at_once(tmp_path: Path) -> None:
    long = torch.tensor(TWO, (3,), (1,))
    pickled = torch.state_dict({"a": long, "fine": VECTOR, "b": long})
    torch.write_archive(tmp_path / FILE, pickled, {"0": TWO_FLOATS})
    message = refusal(tmp_path)
    assert "'a': " in message
    assert "'b': " in message
    assert "'fine'" not in message


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    entries = {"a/data.pkl": torch.state_dict({"w": VECTOR}), "a/data/0": TWO_FLOATS}
    torch.write_entries(tmp_path / FILE, entries, zipfile.ZIP_DEFLATED)
    assert "the entry 'a/data.pkl' is compressed" in refusal(tmp_path)


def test_an_entry_that_only_claims_to_be_compressed_is_refused(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, torch.state_dict({"w": VECTOR}), {"0": TWO_FLOATS})
    data = bytearray((tmp_path / FILE).read_bytes())
    data[data.index(b"PK\x01\x02") + 10] = zipfile.ZIP_DEFLATED
    (tmp_path / FILE).write_bytes(data)
    assert "the entry 'archive/data.pkl' is compressed" in refusal(tmp_path)


def test_an_entry_without_a_local_header_is_refused(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, torch.state_dict({"w": VECTOR}), {"0": TWO_FLOATS})
    data = bytearray((tmp_path / FILE).read_bytes())
    data[data.rindex(b"PK\x03\x04")] = 0
    (tmp_path / FILE).write_bytes(data)
    assert "the entry 'archive/version' has no local header" in refusal(tmp_path)


def test_a_zip_bomb_is_refused_without_inflating_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(64 << 20))
    assert (tmp_path / FILE).stat().st_size < 1 << 20
    assert "the entry 'a/data.pkl' is compressed" in refusal(tmp_path)


def test_a_huge_pickle_is_refused_unread(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, bytes(MAX_PICKLE_BYTES + 1), {})
    assert "its data.pkl has 4194305 bytes, allowed are 4194304" in refusal(tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_an_entry_that_exists_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("a/data.pkl", torch.state_dict({"w": VECTOR}))
        archive.writestr("a/data/0", TWO_FLOATS)
        archive.writestr("a/data/0", bytes(8))
    assert "the entry 'a/data/0' exists twice" in refusal(tmp_path)


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, torch.state_dict({"w": VECTOR}), {"0": TWO_FLOATS})
    data = bytearray((tmp_path / FILE).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / FILE).write_bytes(data)
    assert "the entry 'archive/data.pkl' is encrypted" in refusal(tmp_path)


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, torch.state_dict({}), {"0": TWO_FLOATS})
    data = bytearray((tmp_path / FILE).read_bytes())
    first, second = data.index(b"PK\x01\x02"), data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    (tmp_path / FILE).write_bytes(data)
    assert "overlaps" in refusal(tmp_path)


def test_an_entry_that_reaches_into_the_directory_is_refused(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, torch.state_dict({}), {"0": TWO_FLOATS})
    data = bytearray((tmp_path / FILE).read_bytes())
    last = data.rindex(b"PK\x01\x02")
    data[last + 20 : last + 28] = struct.pack("<II", 3, 3)
    (tmp_path / FILE).write_bytes(data)
    assert "the entry 'archive/version' overlaps the directory" in refusal(tmp_path)


def test_a_damaged_pickle_fails_its_checksum(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, torch.state_dict({"w": VECTOR}), {"0": TWO_FLOATS})
    data = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(data.replace(b"FloatStorage", b"HalfFStorage", 1))
    assert "truncated or damaged: Bad CRC-32" in refusal(tmp_path)


@pytest.mark.parametrize("names", [[], ["a/x"], ["a/data.pkl", "b/data.pkl"]])
def test_a_zip_that_is_no_checkpoint_is_refused(tmp_path: Path, names: list[str]) -> None:
    torch.write_entries(tmp_path / FILE, dict.fromkeys(["a/version", *names], b"N."))
    assert "a zip archive without one data.pkl" in refusal(tmp_path)


def test_the_format_before_torch_1_6_is_refused_with_the_way_out(tmp_path: Path) -> None:
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    (tmp_path / FILE).write_bytes(magic)
    message = refusal(tmp_path)
    assert "format of torch before 1.6" in message
    assert "save its state dict as safetensors" in message


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"<!DOCTYPE html>" * 100)
    assert "it is not a file of torch.save" in refusal(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_a_damaged_archive_is_refused_or_read_within_its_bounds(tmp_path: Path) -> None:
    torch.write_archive(tmp_path / FILE, torch.state_dict({"w": VECTOR}), {"0": TWO_FLOATS})
    whole = (tmp_path / FILE).read_bytes()
    accepted = 0
    for position in range(len(whole)):
        for value in {0, whole[position] ^ 1, 0xFF} - {whole[position]}:
            damaged = whole[:position] + bytes([value]) + whole[position + 1 :]
            (tmp_path / FILE).write_bytes(damaged)
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
    entries = {
        "archive/data/0": (5 * GIB, b""),
        "archive/data/1": (8, TWO_FLOATS),
        "archive/data.pkl": (
            0,
            torch.state_dict(
                {"big": big, "w": torch.tensor(torch.storage("FloatStorage", "1", 2), (2,), (1,))}
            ),
        ),
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
