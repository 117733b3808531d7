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
def test_the_type_that_python_knows_is_that_of_the_tensor(name: str) -> None:
    assert TYPES[name] == type_of(ROW_PARAMETERS[name])


@pytest.mark.parametrize("name", ROW_PARAMETERS)
def test_a_client_sends_only_what_servers_take(name: str) -> None:
    ours, theirs = ROW_PARAMETERS[name].client_limits, ROW_PARAMETERS[name].limits
    assert theirs.least <= ours.least <= ours.most <= theirs.most
    assert theirs.above <= ours.above


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_default_is_a_value_that_may_be_given(name: str) -> None:
    default = PARAMETERS[name].default
    assert default is None or PARAMETERS[name].client_limits.has(default)


def test_each_tensor_is_one_input() -> None:
    names = [tensor.name for tensor in INPUTS]
    assert len(set(names)) == len(names) == len(ROW_PARAMETERS) + 3
