"""Reads the pickle inside a file of `torch.save`, without a pickle machine that can call anything.

A pickle is a program for a stack machine. This one knows the instructions that pickling a state
dict with protocol 2, torch's default, emits; it builds plain values and, of torch's objects, inert
descriptions. `pickle.Unpickler` with a filtered `find_class` would still set attributes on what
the filter lets through, hash keys of exponential size, and allocate gigabytes for one large memo
index.

The contract is owned by torch: `torch/serialization.py` (persistent ids) and `torch/_utils.py`
(the arguments of `_rebuild_tensor_v2` and `_rebuild_parameter`).
"""

import pickletools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")

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

# Of DeepSpeed, Lightning, and loops of one's own.
_TRAINING_KEYS = ("module", "state_dict", "model_state_dict", "model")


@dataclass(frozen=True, kw_only=True, slots=True)
class PickledStorage:
    """A block of values in a file of its own in the archive.

    Attributes:
        dtype: Format of its values, in safetensors' word.
        key: Its file's name under `data/`.
        elements: Number of its values.
    """

    dtype: str
    key: str
    elements: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PickledTensor:
    """A view into a storage, as pickled: its numbers are unchecked.

    Attributes:
        storage: Where its values are.
        offset: Of the first value in the storage, in values.
        shape: Its dimensions.
        strides: Values between neighbours, for each dimension.
        lazy: Whether the stored values are still to be negated or conjugated.
    """

    storage: PickledStorage
    offset: object
    shape: object
    strides: object
    lazy: bool


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function: never the thing itself."""

    name: str


def load_state_dict(data: bytes) -> Mapping[str, PickledTensor]:
    """Return the tensors of a pickled state dict, by name.

    Args:
        data: Content of the archive's `data.pkl`.

    Raises:
        ValueError: The pickle is broken, holds anything but a state dict, or names a class or
            function that a state dict has no use for.
    """
    value = _expect(dict, _Machine().run(data))
    strange = [
        f"{key!r} is of type {_kind(found)}"
        for key, found in value.items()
        if not isinstance(found, PickledTensor)
    ]
    if strange:
        raise ValueError(f"holds more than tensors: {', '.join(strange[:8])}")
    return value


def key_of_state_dict(data: bytes) -> str | None:
    """Return the key under which a training checkpoint's pickle holds a state dict, if it does.

    Nothing is built: a usual key has to stand right before a dict that opens. Looked for before
    the first tensor, because the versions of modules after the last have such keys, too.
    """
    before: object = None
    with suppress(ValueError):
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "BINPERSID":
                break
            opens = opcode.name == "EMPTY_DICT" or argument == "collections OrderedDict"
            if opens and before in _TRAINING_KEYS:
                return str(before)
            # What puts a value into the memo stands between.
            if opcode.name not in ("BINPUT", "LONG_BINPUT"):
                before = argument if opcode.name == "BINUNICODE" else None
    return None


class _Machine:
    """The stack, its marks and the memo, as in `pickle`; every value on it is inert."""

    def __init__(self) -> None:
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self, data: bytes) -> object:
        for opcode, argument, _ in pickletools.genops(data):
            step = _STEPS.get(opcode.name)
            if step is None:
                raise ValueError(
                    f"has the instruction {opcode.name}; a state dict in pickle protocol 2, "
                    "torch.save's default, has none"
                )
            step(self, argument)
        return self.pop(1)[0]

    def push(self, value: object) -> None:
        self._stack.append(value)

    def pop(self, count: int) -> list[object]:
        first = len(self._stack) - count
        if first < (self._marks[-1] if self._marks else 0):
            raise ValueError("takes more values than it has put down")
        values = self._stack[first:]
        del self._stack[first:]
        return values

    def pop_as(self, *kinds: type[Any]) -> list[Any]:
        return [
            _expect(kind, value) for kind, value in zip(kinds, self.pop(len(kinds)), strict=True)
        ]

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop_to_mark(self) -> list[object]:
        if not self._marks:
            raise ValueError("returns to a mark that it has not set")
        values = self.pop(len(self._stack) - self._marks[-1])
        self._marks.pop()
        return values

    def remember(self, index: int) -> None:
        [value] = self.pop(1)
        self.push(value)
        self._memo[index] = value

    def recall(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError("recalls a value that it has not remembered")
        self.push(self._memo[index])

    def append(self, values: list[object]) -> None:
        [target] = self.pop_as(list)
        target.extend(values)
        self.push(target)

    def set_items(self, values: list[object]) -> None:
        [target] = self.pop_as(dict)
        if len(values) % 2:
            raise ValueError("sets a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if _expect(str, key) in target:
                raise ValueError(f"has the key {key!r} twice")
            target[key] = value
        self.push(target)

    def set_state(self) -> None:
        # Of attributes, a state dict has `_metadata`, the versions of its modules: not needed.
        target, _ = self.pop_as(dict, dict)
        self.push(target)

    def reduce(self) -> None:
        function, arguments = self.pop_as(Global, tuple)
        rebuild = _REBUILDERS.get(function.name)
        value = rebuild(arguments) if rebuild else None
        if value is None:
            raise ValueError(f"calls {function.name} with unusual arguments")
        self.push(value)


def _ordered_dict(arguments: Sequence[object]) -> dict[str, object] | None:
    return None if arguments else {}


def _tensor(arguments: Sequence[object]) -> PickledTensor | None:
    # storage, storage_offset, size, stride, requires_grad, backward_hooks[, metadata]
    if not 6 <= len(arguments) <= 7 or not isinstance(arguments[0], PickledStorage):
        return None
    return PickledTensor(
        storage=arguments[0],
        offset=arguments[1],
        shape=arguments[2],
        strides=arguments[3],
        lazy=any(arguments[6:]),
    )


def _parameter(arguments: Sequence[object]) -> PickledTensor | None:
    # data, requires_grad, backward_hooks
    if len(arguments) == 3 and isinstance(arguments[0], PickledTensor):
        return arguments[0]
    return None


_REBUILDERS: Mapping[str, Callable[[Sequence[object]], object]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}


def _global(module_and_name: str) -> Global:
    name = module_and_name.replace(" ", ".")
    if name not in _REBUILDERS and name not in _STORAGES:
        raise ValueError(f"refers to {name}, which no state dict needs")
    return Global(name)


def _storage(persistent_id: object) -> PickledStorage:
    match persistent_id:
        case ("storage", Global(name), str(key), str(), int(elements)) if name in _STORAGES:
            return PickledStorage(dtype=_STORAGES[name], key=key, elements=elements)
    raise ValueError("has a persistent id that is not a storage")


def _expect(kind: type[_T], value: object) -> _T:
    if isinstance(value, kind):
        return value
    raise ValueError(f"has a {_kind(value)} where a {kind.__name__} belongs")


def _kind(value: object) -> str:
    return value.name if isinstance(value, Global) else type(value).__name__


_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _machine, _: None,
    "STOP": lambda _machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(
        ["BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"], _Machine.push
    ),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    **dict.fromkeys(["BINPUT", "LONG_BINPUT"], _Machine.remember),
    **dict.fromkeys(["BINGET", "LONG_BINGET"], _Machine.recall),
    "GLOBAL": lambda machine, argument: machine.push(_global(argument)),
    "BINPERSID": lambda machine, _: machine.push(_storage(machine.pop(1)[0])),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.set_state(),
}
