import builtins
import os
import pickle
import random
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft_serving.weights.checkpoint import open_checkpoint
from ft_serving.weights.checkpoint.state_dict_pickle import (
    PickledStorage,
    PickledTensor,
    load_state_dict,
)
from ft_serving.weights.errors import CheckpointError
from tests.weights.checkpoint import torch_archive as torch

STORAGE = torch.storage("FloatStorage", "0", 6)
MATRIX = torch.tensor(STORAGE, (2, 3), (3, 1))


class Calls:
    """Pickles to an instruction to call a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def attacks(canary: Path) -> dict[str, Calls]:
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    return {
        "posix.system": Calls(os.system, f"touch {canary}"),
        "builtins.eval": Calls(builtins.eval, code),
        "builtins.exec": Calls(builtins.exec, code),
        "subprocess.check_call": Calls(subprocess.check_call, ["touch", str(canary)]),
    }


@pytest.mark.parametrize(
    "attack", ["posix.system", "builtins.eval", "builtins.exec", "subprocess.check_call"]
)
def test_a_pickle_that_calls_a_function_is_refused_without_calling_it(
    tmp_path: Path, attack: str
) -> None:
    canary = tmp_path / "canary"
    pickled = pickle.dumps({"w": attacks(canary)[attack]}, protocol=2, fix_imports=False)
    torch.write_archive(tmp_path / "pytorch_model.bin", pickled, {})
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert not canary.exists()
    assert f"refers to {attack}, which no state dict needs. Nothing in it was executed" in str(
        caught.value
    )
    pickle.loads(pickled)
    assert canary.exists(), "the attack must be one that works on pickle itself"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_attack_in_any_protocol_is_refused(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    pickled = pickle.dumps(Calls(os.system, f"touch {canary}"), protocol)
    with pytest.raises(ValueError, match=r"refers to|has the instruction"):
        load_state_dict(pickled)
    assert not canary.exists()


def test_an_attack_hidden_behind_a_valid_state_dict_is_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hidden = torch.call("posix.system", torch.text(f"touch {canary}")) + b"0"
    pickled = torch.state_dict({"w": MATRIX}).removesuffix(b".") + hidden + b"."
    with pytest.raises(ValueError, match=r"refers to posix\.system"):
        load_state_dict(pickled)
    assert not canary.exists()


def test_a_state_dict_becomes_descriptions_of_its_tensors() -> None:
    expected = PickledTensor(
        storage=PickledStorage(dtype="F32", key="0", elements=6),
        offset=0,
        shape=(2, 3),
        strides=(3, 1),
        lazy=False,
    )
    assert load_state_dict(torch.state_dict({"a": MATRIX, "b": MATRIX})) == {
        "a": expected,
        "b": expected,
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (integer := torch.integer(3), "'x' is of type int"),
        (torch.text("3"), "'x' is of type str"),
        (b"G" + struct.pack(">d", 0.5), "'x' is of type float"),
        (b"N", "'x' is of type NoneType"),
        (b"](" + integer + integer + b"e", "'x' is of type list"),
        (b"}" + torch.text("w") + MATRIX + b"s", "'x' is of type dict"),
        (torch.name("torch.FloatStorage"), "'x' is of type torch.FloatStorage"),
        (STORAGE, "'x' is of type PickledStorage"),
    ],
)
def test_a_value_that_is_no_tensor_is_refused_by_name(value: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_state_dict(torch.state_dict({"w": MATRIX, "x": value}))


FIVE = [torch.integer(0), torch.integers(1), torch.integers(1), torch.FALSE, b"}"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.call("collections.OrderedDict", b")"), "calls collections.OrderedDict with unusual"),
        (torch.call("torch._utils._rebuild_tensor_v2"), "_rebuild_tensor_v2 with unusual"),
        (torch.call("torch._utils._rebuild_tensor_v2", b"N", *FIVE), "unusual arguments"),
        (torch.call("torch._utils._rebuild_parameter", b"N", b"N", b"N"), "unusual arguments"),
        (torch.call("torch.FloatStorage"), "calls torch.FloatStorage"),
        (torch.call("torch._utils._rebuild_tensor"), "refers to torch._utils._rebuild_tensor,"),
        (torch.name("torch.nn.modules.linear.Linear"), "refers to torch.nn.modules.linear.Linear"),
        (MATRIX + b"}b", "has a PickledTensor where a dict belongs"),
        (torch.name("torch._utils._rebuild_parameter") + b"}b", "where a dict belongs"),
        (torch.name("torch.FloatStorage") + b"N}\x86b", "where a dict belongs"),
        (torch.text("posix.system") + b")R", "has a str where a Global belongs"),
        (MATRIX + b")R", "has a PickledTensor where a Global belongs"),
        (torch.name("collections.OrderedDict") + b"NR", "has a NoneType where a tuple belongs"),
        (torch.name("collections.OrderedDict") + b")\x81", "has the instruction NEWOBJ"),
        (torch.text("a") + torch.text("b") + b"\x93", "has the instruction STACK_GLOBAL"),
        (b"\x82\x01", "has the instruction EXT1"),
        (b"(i__main__\nx\n", "has the instruction INST"),
        (b"P0\n", "has the instruction PERSID"),
        (torch.text("0") + b"Q", "persistent id that is not a storage"),
        (b"}" + torch.integers(1) + b"Ns", "has a tuple where a str belongs"),
        (b"}(" + (torch.text("k") + b"N") * 2 + b"u", "has the key 'k' twice"),
        (b"NNs", "has a str where a dict belongs"),
        (b"NNa", "has a NoneType where a list belongs"),
        (b"h\x07", "recalls a value that it has not remembered"),
        (b"j\xff\xff\xff\xff", "recalls a value that it has not remembered"),
        (b"(u", "has a str where a dict belongs"),
        (b"}(Nu", "sets a key without a value"),
        (b"ttttttttttt", "returns to a mark that it has not set"),
        (b"(\x85", "takes more values than it has put down"),
        (b"X\xff\xff\xff\xffabc", "expected 4294967295 bytes"),
    ],
)
def test_an_instruction_with_wrong_values_is_refused(value: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_state_dict(torch.state_dict({"x": value}))


@pytest.mark.parametrize(
    "persistent_id",
    [
        torch.sequence(),
        torch.sequence(torch.text("storage")),
        torch.sequence(
            torch.text("module"), torch.name("torch.FloatStorage"), *[torch.text("0")] * 2, b"K\x01"
        ),
        torch.sequence(
            torch.text("storage"),
            torch.text("torch.FloatStorage"),
            *[torch.text("0")] * 2,
            b"K\x01",
        ),
        torch.sequence(
            torch.text("storage"),
            torch.name("collections.OrderedDict"),
            *[torch.text("0")] * 2,
            b"K\x01",
        ),
        torch.sequence(torch.text("storage"), torch.name("torch.FloatStorage"), b"NNN"),
    ],
)
def test_a_persistent_id_that_is_no_storage_is_refused(persistent_id: bytes) -> None:
    with pytest.raises(ValueError, match="persistent id that is not a storage"):
        load_state_dict(torch.state_dict({"x": persistent_id + b"Q"}))


@pytest.mark.parametrize("pickled", [b"", b".", b"\x80\x02N.", b"\x80\x02(.", b"\x80\x02]."])
def test_a_pickle_of_anything_but_a_dict_is_refused(pickled: bytes) -> None:
    with pytest.raises(ValueError, match=r"exhausted|more values|where a dict belongs"):
        load_state_dict(pickled)


def test_a_dict_that_contains_itself_is_refused_and_not_printed() -> None:
    with pytest.raises(ValueError, match=r"holds more than tensors: 'x' is of type dict$"):
        load_state_dict(b"\x80\x02}q\x00" + torch.text("x") + b"h\x00s.")


def test_a_value_of_exponential_size_costs_no_time() -> None:
    doubled = b")" + b"q\x00h\x00\x86" * 200
    started = time.monotonic()
    with pytest.raises(ValueError, match="has a tuple where a str belongs"):
        load_state_dict(b"\x80\x02}" + doubled + b"Ns.")
    with pytest.raises(ValueError, match="'x' is of type tuple"):
        load_state_dict(torch.state_dict({"x": doubled}))
    assert time.monotonic() - started < 1, "hashing or printing the tuple would never end"


def test_the_largest_memo_index_costs_no_memory() -> None:
    pickled = torch.state_dict({"w": MATRIX + b"r\xff\xff\xff\xff"})
    assert list(load_state_dict(pickled)) == ["w"], "an array of memos would take 32 GiB"


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_a_damaged_pickle_is_refused_with_a_value_error() -> None:
    rng = random.Random(0)
    whole = torch.state_dict({"a": MATRIX, "b": MATRIX})
    refused = 0
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 4])):
            position = rng.randrange(len(damaged))
            damaged[position : position + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        try:
            load_state_dict(bytes(damaged))
        except ValueError:
            refused += 1
    assert 1500 < refused < 3000, "most damage must be noticed, and some cannot be"
