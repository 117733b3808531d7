"""The fixture that tests of `prepare` share."""

from pathlib import Path

import pytest

from tests.weights.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
