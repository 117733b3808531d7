"""Skips tests on the embedded platform where it is not up."""

import functools
import os
from typing import NoReturn

import pytest

from local_platform.node import namespace

ADVICE = "The platform is not running. Start it with `make platform`."


@functools.cache
def _is_up() -> bool:
    return namespace.find() is not None


def require_platform() -> None:
    """Skip the test where the platform is not up; fail it with CI=true, where it has to be."""
    if not _is_up():
        skip_but_in_ci(ADVICE)


def skip_but_in_ci(reason: str) -> NoReturn:
    """Skip the test; fail it with CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
