"""Builds files as `torch.save` does, from pickle instructions, so that each part can be broken.

The instructions are those that torch 1.12 and 2.15 emit; see `data/README.md` for their files.
"""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

PROTOCOL_2 = b"\x80\x02"
STOP = b"."
FALSE = b"\x89"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def sequence(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def integers(*values: int) -> bytes:
    return sequence(*map(integer, values))


def name(dotted: str) -> bytes:
    module, _, attribute = dotted.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(function: str, *arguments: bytes) -> bytes:
    return name(function) + sequence(*arguments) + b"R"


def storage(kind: str, key: str, elements: int) -> bytes:
    arguments = (text("storage"), name(f"torch.{kind}"), text(key), text("cpu"), integer(elements))
    return sequence(*arguments) + b"Q"


def tensor(
    where: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
) -> bytes:
    return call(
        "torch._utils._rebuild_tensor_v2",
        where,
        integer(offset),
        integers(*shape),
        integers(*strides),
        FALSE,
        call("collections.OrderedDict"),
    )


def state_dict(items: Mapping[str, bytes]) -> bytes:
    """Return the pickle of a state dict, with the attribute `_metadata` that a module's has."""
    pairs = b"".join(text(key) + value for key, value in items.items())
    version = b"}" + text("version") + integer(1) + b"s"
    metadata = call("collections.OrderedDict") + b"(" + text("") + version + b"u"
    attributes = b"}" + text("_metadata") + metadata + b"s"
    start = PROTOCOL_2 + call("collections.OrderedDict")
    return start + b"(" + pairs + b"u" + attributes + b"b" + STOP


def write_archive(path: Path, pickled: bytes, storages: Mapping[str, bytes]) -> None:
    """Write a file as torch 2 does."""
    write_entries(
        path,
        {
            "archive/data.pkl": pickled,
            "archive/byteorder": b"little",
            **{f"archive/data/{key}": content for key, content in storages.items()},
            "archive/version": b"3\n",
        },
    )


def write_entries(
    path: Path, entries: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
