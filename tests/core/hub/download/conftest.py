"""A download in small parts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.core.hub import download, parts, stream
from tests.core.hub.download.case import FILES, PART, Case
from tests.core.hub.faulty_hub import FaultyHub


@pytest.fixture(autouse=True)
def _small_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART)
    monkeypatch.setattr(stream, "READ_BYTES", 256)
    monkeypatch.setattr(download, "_LONGEST_STOP_S", 0.1)


@pytest.fixture
def faulty() -> Iterator[FaultyHub]:
    with FaultyHub(FILES) as server:
        yield server


@pytest.fixture
def case(faulty: FaultyHub, tmp_path: Path) -> Case:
    return Case(faulty, tmp_path / "models" / "here")
