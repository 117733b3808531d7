"""Patience with what takes a moment."""

import time
from collections.abc import Callable

import pytest


def wait_until(condition: Callable[[], object], otherwise: str, seconds: float = 30) -> float:
    """Wait until a condition holds, or fail the test; return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            pytest.fail(f"{otherwise} after {seconds:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began
