"""Property values of Pulumi's wire format, in Python.

A value is what JSON has, and besides `Secret` and `UNKNOWN`. The signatures are those of
`sdk/go/common/resource/sig` and `sdk/go/common/resource/plugin/rpc.go` of pulumi/pulumi.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - names the kind of value
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN
"""A value that a preview cannot know yet."""


@dataclass(frozen=True)
class Secret:
    """A value that is stored encrypted and never shown."""

    value: "Value"

    def __repr__(self) -> str:
        return "Secret(...)"


# JSON's own nesting is not expressed: every use would have to take the union apart again.
Value = Any


def from_struct(struct: struct_pb2.Struct) -> dict[str, Value]:
    """The values of a message of the engine; whole numbers come as int."""
    return {name: _from_value(value) for name, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if value.string_value == _UNKNOWN else value.string_value
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "struct_value":
            return _from_fields(value.struct_value)
    return None


def _from_fields(struct: struct_pb2.Struct) -> Value:
    signature = struct.fields[_SIGNATURE].string_value if _SIGNATURE in struct.fields else None
    if signature == _SECRET:
        return Secret(_from_value(struct.fields["value"]))
    if signature == _OUTPUT:
        known = "value" in struct.fields
        value = _from_value(struct.fields["value"]) if known else UNKNOWN
        secret = "secret" in struct.fields and struct.fields["secret"].bool_value
        return Secret(value) if secret else value
    return from_struct(struct)


def to_struct(values: Mapping[str, Value]) -> struct_pb2.Struct:
    """The message for values."""
    return struct_pb2.Struct(fields={name: _to_value(value) for name, value in values.items()})


def _to_value(value: Value) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if value is UNKNOWN:
        return struct_pb2.Value(string_value=_UNKNOWN)
    if isinstance(value, Secret):
        return _to_value({_SIGNATURE: _SECRET, "value": value.value})
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=to_struct(value))
    return struct_pb2.Value(
        list_value=struct_pb2.ListValue(values=[_to_value(item) for item in value])
    )


def reveal(value: Value) -> Value:
    """The value without the marks of secrets, for what uses it and shows it to nobody."""
    if isinstance(value, Secret):
        return reveal(value.value)
    if isinstance(value, Mapping):
        return {name: reveal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def has_unknown(value: Value) -> bool:
    """Whether any part of a value is not known yet."""
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN


def has_secret(value: Value) -> bool:
    """Whether any part of a value is a secret."""
    if isinstance(value, Mapping):
        return any(has_secret(item) for item in value.values())
    if isinstance(value, list):
        return any(has_secret(item) for item in value)
    return isinstance(value, Secret)


def conceal(value: Value, like: Value) -> Value:
    """The value with every part a secret that is one in `like`.

    A list is one secret if it had any: its items have no names to find them by.
    """
    if isinstance(value, Secret):
        return value
    if isinstance(value, Mapping) and isinstance(like, Mapping):
        return {
            name: conceal(item, like[name]) if name in like else item
            for name, item in value.items()
        }
    return Secret(value) if has_secret(like) else value


def hide(text: str, value: Value) -> str:
    """A text without the secrets of a value, which an API's error may quote."""
    for secret in _secrets(value):
        text = text.replace(secret, "[secret]")
    return text


def _secrets(value: Value) -> Iterator[str]:
    if isinstance(value, Secret):
        yield from _strings(reveal(value))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item)


def _strings(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str) and len(value) > 1:
        # A single character is in every text.
        yield value
