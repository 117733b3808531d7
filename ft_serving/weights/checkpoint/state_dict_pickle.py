"""Reads the pickle inside a file of `torch.save`, and calls nothing that the file names.

`pickle.Unpickler` finds inert classes of this module in place of torch's and refuses every other
name. Before it starts, instructions that no state dict needs are refused, and so are memo indices
for which it would allocate gigabytes.

torch owns the contract: `torch/serialization.py` (persistent ids) and `torch/_utils.py` (the
arguments of `_rebuild_tensor_v2` and `_rebuild_parameter`).
"""

import io
import pickle
import pickletools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

_STORAGES = {
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.DoubleStorage": "F64",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}

# The instructions of a state dict's pickle in protocol 2, torch's default.
_INSTRUCTIONS = {
    *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND"),
    *("APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
    *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
}

# The instructions that make a `StateDict`; see `_checked`.
_NEW_DICT = b"ccollections\nOrderedDict\n)R"

# The keys of DeepSpeed, Lightning and hand-written training loops.
_TRAINING_KEYS = ("module", "state_dict", "model_state_dict", "model")

_UNPICKLING_ERRORS = (
    *(pickle.UnpicklingError, EOFError, AttributeError, LookupError, TypeError),
    *(ArithmeticError, MemoryError),
)


@dataclass(frozen=True, slots=True)
class PickledStorage:
    """A block of values, in a file of its own in the archive.

    Attributes:
        dtype: Format of its values, in safetensors' word.
        key: Its file's name under `data/`.
        elements: Number of its values.
    """

    dtype: str
    key: str
    elements: int

    def __setstate__(self, _: object) -> None:
        raise ValueError("sets attributes of a storage")


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """A view into a storage: the arguments of `_rebuild_tensor_v2`, unchecked.

    Attributes:
        storage: Its values.
        offset: Index of its first value in the storage.
        shape: Its dimensions.
        strides: Values between neighbours, for each dimension.
        metadata: Says whether the stored values are still to be negated or conjugated.
    """

    storage: PickledStorage
    offset: object
    shape: object
    strides: object
    requires_grad: object
    backward_hooks: object
    metadata: object = None

    def __post_init__(self) -> None:
        if not isinstance(self.storage, PickledStorage):
            raise TypeError("a tensor has no storage")

    def __setstate__(self, _: object) -> None:
        raise ValueError("sets attributes of a tensor")


class _Parameter:
    """Stands for `_rebuild_parameter`, whose result is the tensor."""

    def __new__(cls, data: object, _requires_grad: object, _hooks: object) -> Self:
        if not isinstance(data, PickledTensor):
            raise TypeError("a parameter has no tensor")
        return data  # type: ignore[return-value]  # what pickle makes of it is the tensor

    def __setstate__(self, _: object) -> None:
        raise ValueError("sets attributes of a parameter")


class StateDict(dict[str, object]):
    """A dict that takes only strings as keys, because hashing a hostile key may never end."""

    def __init__(self) -> None:
        super().__init__()

    def __setitem__(self, key: str, value: object) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a dict has a key of type {type(key).__name__}")
        if key in self:
            raise ValueError(f"has the key {key!r} twice")
        super().__setitem__(key, value)

    def __setstate__(self, _: object) -> None:
        """Ignore the attribute `_metadata` of a state dict: the versions of its modules."""


_CLASSES: Mapping[str, object] = {
    "collections.OrderedDict": StateDict,
    "torch._utils._rebuild_tensor_v2": PickledTensor,
    "torch._utils._rebuild_parameter": _Parameter,
    **_STORAGES,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        found = _CLASSES.get(f"{module}.{name}")
        if found is None:
            raise ValueError(f"refers to {module}.{name}, which no state dict needs")
        return found

    def persistent_load(self, pid: object) -> PickledStorage:
        match pid:
            case ("storage", str(dtype), str(key), str(), int(elements)) if (
                dtype in _STORAGES.values()
            ):
                return PickledStorage(dtype=dtype, key=key, elements=elements)
        raise ValueError("has a persistent id that is not a storage")


def load_state_dict(data: bytes) -> Mapping[str, PickledTensor]:
    """Return the tensors of a pickled state dict, by name.

    Args:
        data: Content of the archive's `data.pkl`.

    Raises:
        ValueError: The pickle is broken, holds anything but a state dict, or names a class or
            function that a state dict has no use for.
    """
    try:
        value = _unpickled(data)
    except _UNPICKLING_ERRORS as exc:
        raise ValueError(f"is not a pickled state dict: {exc}") from exc
    tensors = {key: found for key, found in value.items() if isinstance(found, PickledTensor)}
    if len(tensors) < len(value):
        others = [key for key in value if key not in tensors]
        kinds = [f"{key!r} is of type {type(value[key]).__name__}" for key in others[:8]]
        raise ValueError(f"holds more than tensors: {', '.join(kinds)}")
    return tensors


def _unpickled(data: bytes) -> StateDict:
    value = _Unpickler(io.BytesIO(_checked(data))).load()
    if not isinstance(value, StateDict):
        raise TypeError(f"holds a {type(value).__name__} where a dict belongs")
    return value


def key_of_state_dict(data: bytes) -> str | None:
    """Return the key under which a training checkpoint's pickle holds a state dict, if it does.

    Nothing is built: a usual key has to stand right before a dict that opens. The search ends at
    the first tensor, because the versions of modules after the last one have such keys, too.
    """
    before: object = None
    with suppress(ValueError):
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "BINPERSID":
                break
            opens = opcode.name == "EMPTY_DICT" or argument == "collections OrderedDict"
            if opens and before in _TRAINING_KEYS:
                return str(before)
            # An instruction that puts the key into the memo may stand between.
            if opcode.name not in ("BINPUT", "LONG_BINPUT"):
                before = argument if opcode.name == "BINUNICODE" else None
    return None


def _checked(data: bytes) -> bytes:
    """Return a pickle whose instructions are known, with a `StateDict` in place of every dict."""
    parts, end = [], 0
    for opcode, argument, position in pickletools.genops(data):
        if opcode.name not in _INSTRUCTIONS:
            raise ValueError(
                f"has the instruction {opcode.name}; a state dict in pickle protocol 2, "
                "torch.save's default, has none"
            )
        # The memo is an array: one large index would take 64 GiB.
        if opcode.name == "LONG_BINPUT" and isinstance(argument, int) and argument > len(data):
            raise ValueError(f"puts a value at {argument} into its memo")
        if opcode.name == "EMPTY_DICT" and position is not None:
            parts += [data[end:position], _NEW_DICT]
            end = position + 1
    return b"".join([*parts, data[end:]])
