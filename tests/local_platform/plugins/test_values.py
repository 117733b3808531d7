"""Pulumi's wire format of property values."""

from google.protobuf import struct_pb2

from local_platform.plugins.values import (
    UNKNOWN,
    Secret,
    conceal,
    from_struct,
    has_secret,
    has_unknown,
    hide,
    reveal,
    to_struct,
)

VALUES = {
    "text": "a",
    "whole": 3,
    "part": 0.5,
    "flag": True,
    "nothing": None,
    "list": [1, {"a": "b"}],
    "secret": Secret({"password": "x"}),
    "unknown": UNKNOWN,
}


def test_values_survive_the_wire() -> None:
    assert from_struct(to_struct(VALUES)) == VALUES


def test_whole_numbers_stay_whole() -> None:
    values = from_struct(to_struct({"replicas": 2}))
    assert values == {"replicas": 2}
    assert isinstance(values["replicas"], int), "the API server refuses 2.0 for an integer"


def test_signatures_are_those_of_the_engine() -> None:
    struct = to_struct({"secret": Secret("x"), "unknown": UNKNOWN})
    secret = struct.fields["secret"].struct_value.fields
    assert secret["4dabf18193072939515e22adb298388d"].string_value == (
        "1b47061264138c4ac30d75fd1eb44270"
    )
    assert secret["value"].string_value == "x"
    assert struct.fields["unknown"].string_value == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def test_an_output_without_a_value_is_unknown_and_its_secrecy_kept() -> None:
    def output(**fields: str | bool) -> struct_pb2.Struct:
        struct = struct_pb2.Struct()
        signature: dict[str, str | bool] = {
            "4dabf18193072939515e22adb298388d": "d0e6a833031e9bbcd3f4e8bde6ca49a4"
        }
        struct.update({"it": {**signature, **fields}})
        return struct

    assert from_struct(output()) == {"it": UNKNOWN}
    assert from_struct(output(value="a")) == {"it": "a"}
    assert from_struct(output(value="a", secret=True)) == {"it": Secret("a")}


def test_a_secret_is_not_printed() -> None:
    assert "hunter2" not in repr({"a": [Secret("hunter2")]})


def test_what_is_inside_is_found() -> None:
    assert has_unknown({"a": [Secret({"b": UNKNOWN})]})
    assert not has_unknown({"a": [Secret({"b": 1})]})
    assert has_secret({"a": [{"b": Secret(1)}]})
    assert not has_secret({"a": [{"b": UNKNOWN}]})
    assert reveal({"a": [Secret({"b": Secret(1)})]}) == {"a": [{"b": 1}]}


def test_what_was_secret_is_secret_again() -> None:
    like = {"data": {"a": Secret(1), "b": 2}, "list": [1, Secret(2)], "gone": Secret(3)}
    seen = {"data": {"a": 5, "b": 6, "c": 7}, "list": [1, 2, 3]}
    assert conceal(seen, like) == {
        "data": {"a": Secret(5), "b": 6, "c": 7},
        "list": Secret([1, 2, 3]),
    }


def test_secrets_are_cut_out_of_texts() -> None:
    value = {"a": Secret({"b": ["hunter2"]}), "c": "open", "d": [Secret("x")]}
    assert hide('Invalid value: "hunter2" (open, x)', value) == (
        'Invalid value: "[secret]" (open, x)'
    )
