"""Skips tests on the embedded platform where it is not up."""

import functools
import os

import pytest

from local_platform.node import namespace

ADVICE = "The platform is not running. Start it with `make platform`."


@functools.cache
def _is_up() -> bool:
    return namespace.find() is not None


def require_platform() -> None:
    """Skip the test where the platform is not up; fail it with CI=true, where it has to be."""
    if _is_up():
        return
    if os.environ.get("CI") == "true":
        pytest.fail(ADVICE, pytrace=False)
    pytest.skip(ADVICE)
