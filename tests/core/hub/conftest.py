"""A hub with faults."""

from collections.abc import Iterator

import pytest

from ft_serving.core.hub import retry
from tests.core.hub.faulty_hub import FILES, FaultyHub


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 0.001)


@pytest.fixture
def faulty() -> Iterator[FaultyHub]:
    with FaultyHub(FILES) as server:
        yield server
