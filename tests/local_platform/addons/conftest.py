"""A registry for the tests of images."""

from collections.abc import Iterator

import pytest

from tests.local_platform.addons.stub_registry import StubRegistry, running


@pytest.fixture
def registry() -> Iterator[StubRegistry]:
    with running() as server:
        yield server
