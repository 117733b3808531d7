import builtins
import os
import pickle
import random
import struct
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


@pytest.mark.parametrize("function", ["posix.system", "builtins.eval"])
def test_a_pickle_that_calls_a_function_is_refused_without_calling_it(
    tmp_path: Path, function: str
) -> None:
    canary = tmp_path / "canary"
    attack = {
        "posix.system": Calls(os.system, f"touch {canary}"),
        "builtins.eval": Calls(
            builtins.eval, f"__import__('pathlib').Path({str(canary)!r}).touch()"
        ),
    }[function]
    pickled = pickle.dumps({"w": attack}, protocol=2, fix_imports=False)
    torch.write_archive(tmp_path / "pytorch_model.bin", pickled, {})
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert not canary.exists()
    assert f"refers to {function}, which no state dict needs. Nothing in it was executed" in str(
        caught.value
    )
    pickle.loads(pickled)
    assert canary.exists(), "the attack must be one that works on pickle itself"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_attack_in_any_protocol_is_refused(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(ValueError, match=r"refers to|has the instruction"):
        load_state_dict(pickle.dumps(Calls(os.system, f"touch {canary}"), protocol))
    assert not canary.exists()


def test_an_attack_hidden_behind_a_valid_state_dict_is_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hidden = torch.call("posix.system", torch.text(f"touch {canary}"))
    pickled = torch.state_dict({"w": MATRIX}).removesuffix(b".") + hidden + b"."
    with pytest.raises(ValueError, match=r"refers to posix\.system"):
        load_state_dict(pickled)
    assert not canary.exists()


def test_a_state_dict_becomes_descriptions_of_its_tensors() -> None:
    found = load_state_dict(torch.state_dict({"a": MATRIX, "b": MATRIX}))
    assert list(found) == ["a", "b"]
    assert found["a"] == PickledTensor(
        storage=PickledStorage(dtype="F32", key="0", elements=6),
        offset=0,
        shape=(2, 3),
        strides=(3, 1),
        requires_grad=False,
        backward_hooks={},
    )


FIVE = [torch.integer(0), torch.integers(1), torch.integers(1), torch.FALSE, b"}"]
DOUBLED = b")" + b"q\x00h\x00\x86" * 200


def persistent(*items: bytes) -> bytes:
    return torch.sequence(*items) + b"Q"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        # Values that are no tensors.
        (torch.integer(3), "'x' is of type int"),
        (b"G" + struct.pack(">d", 0.5), "'x' is of type float"),
        (b"N", "'x' is of type NoneType"),
        (b"](" + torch.integer(3) + b"e", "'x' is of type list"),
        (b"}" + torch.text("w") + MATRIX + b"s", "'x' is of type StateDict"),
        (torch.name("torch.FloatStorage"), "'x' is of type str"),
        (STORAGE, "'x' is of type PickledStorage"),
        # Calls and names that torch does not write.
        (torch.call("collections.OrderedDict", b")"), "is not a pickled state dict"),
        (torch.call("torch._utils._rebuild_tensor_v2"), "is not a pickled state dict"),
        (torch.call("torch._utils._rebuild_tensor_v2", b"N", *FIVE), "a tensor has no storage"),
        (torch.call("torch._utils._rebuild_parameter", *[b"N"] * 3), "a parameter has no tensor"),
        (torch.call("torch.FloatStorage"), "'str' object is not callable"),
        (torch.call("torch._utils._rebuild_tensor"), "refers to torch._utils._rebuild_tensor,"),
        (torch.name("torch.nn.modules.linear.Linear"), "refers to torch.nn.modules.linear.Linear"),
        (torch.text("posix.system") + b")R", "'str' object is not callable"),
        # Attributes of what may be named, which would last beyond the file.
        (MATRIX + b"}b", "sets attributes of a tensor"),
        (STORAGE + b"}b", "sets attributes of a storage"),
        (torch.name("torch._utils._rebuild_tensor_v2") + b"}b", "is not a pickled state dict"),
        (torch.name("torch._utils._rebuild_parameter") + b"}b", "is not a pickled state dict"),
        (torch.name("collections.OrderedDict") + b"}b", "is not a pickled state dict"),
        (torch.name("torch.FloatStorage") + b"N}" + torch.text("a") + b"Ns\x86b", "attribute"),
        # Instructions that no state dict has.
        (torch.name("collections.OrderedDict") + b")\x81", "has the instruction NEWOBJ"),
        (torch.text("a") + torch.text("b") + b"\x93", "has the instruction STACK_GLOBAL"),
        (b"\x82\x01", "has the instruction EXT1"),
        (b"(i__main__\nx\n", "has the instruction INST"),
        (b"P0\n", "has the instruction PERSID"),
        # Persistent ids that are no storages.
        (torch.text("0") + b"Q", "persistent id that is not a storage"),
        (persistent(torch.text("storage")), "persistent id that is not a storage"),
        (
            persistent(*map(torch.text, ("storage", "F33", "0", "0")), b"K\x01"),
            "persistent id that is not a storage",
        ),
        (
            persistent(torch.text("storage"), torch.name("torch.FloatStorage"), b"NNN"),
            "persistent id that is not a storage",
        ),
        # Wrong values for an instruction.
        (b"}" + torch.integers(1) + b"Ns", "a dict has a key of type tuple"),
        (b"}(" + (torch.text("k") + b"N") * 2 + b"u", "has the key 'k' twice"),
        (b"h\x07", "is not a pickled state dict"),
        (b"ttttttttttt", "is not a pickled state dict"),
        # What would take all memory or time: see the module.
        (b"X\xff\xff\xff\xffabc", "expected 4294967295 bytes"),
        (MATRIX + b"r\xff\xff\xff\xff", "puts a value at 4294967295 into its memo"),
        (DOUBLED, "'x' is of type tuple"),
        (b"}" + DOUBLED + b"Ns", "a dict has a key of type tuple"),
    ],
)
def test_all_that_a_state_dict_does_not_hold_is_refused(value: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_state_dict(torch.state_dict({"w": MATRIX, "x": value}))


@pytest.mark.parametrize("pickled", [b"", b".", b"\x80\x02N.", b"\x80\x02(.", b"\x80\x02]."])
def test_a_pickle_of_anything_but_a_dict_is_refused(pickled: bytes) -> None:
    with pytest.raises(ValueError, match=r"exhausted|not a pickled|where a dict belongs"):
        load_state_dict(pickled)


def test_a_dict_that_contains_itself_is_refused_and_not_printed() -> None:
    with pytest.raises(ValueError, match=r"holds more than tensors: 'x' is of type StateDict$"):
        load_state_dict(b"\x80\x02}q\x00" + torch.text("x") + b"h\x00s.")


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_a_damaged_pickle_is_refused_with_a_value_error() -> None:
    rng = random.Random(0)
    whole = torch.state_dict({"a": MATRIX, "b": MATRIX})
    refused = 0
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 4])):
            position = rng.randrange(len(damaged))
            damaged[position : position + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        try:
            load_state_dict(bytes(damaged))
        except ValueError:
            refused += 1
    assert 500 < refused < 1000, "most damage must be noticed, and some cannot be"
