"""The table of parameters holds together."""

import typing

import pytest

from ft_serving.core.parameters import (
    INPUTS,
    PARAMETERS,
    ROW_PARAMETERS,
    Parameter,
    RowParameters,
)

TYPES = typing.get_type_hints(RowParameters)


def type_of(parameter: Parameter) -> object:
    if parameter.is_words:
        return list[str]
    if parameter.is_flag:
        return bool
    return int if parameter.is_whole else float


@pytest.mark.parametrize("name", ROW_PARAMETERS)
def test_type_limits_and_default_of_a_parameter_hold_together(name: str) -> None:
    row = ROW_PARAMETERS[name]
    assert TYPES[name] == type_of(row)
    ours, theirs = row.client_limits, row.limits
    assert theirs.least <= ours.least <= ours.most <= theirs.most, "servers take what clients send"
    assert theirs.above <= ours.above
    if name in PARAMETERS:
        assert row.default is None or ours.has(row.default)


def test_each_tensor_is_one_input() -> None:
    names = [tensor.name for tensor in INPUTS]
    assert len(set(names)) == len(names) == len(ROW_PARAMETERS) + 3
