"""Patience with what takes a moment."""

import time
from collections.abc import Callable

import pytest

# What most conditions ask takes some hundredths of a second of the cores that all tests share.
_PAUSE_S = 0.25


def wait_until(condition: Callable[[], object], otherwise: str, seconds: float = 30) -> float:
    """Wait until a condition holds, or fail the test; return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            pytest.fail(f"{otherwise} after {seconds:.0f} s")
        time.sleep(_PAUSE_S)
    return time.monotonic() - began
