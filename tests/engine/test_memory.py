import os
from pathlib import Path

import pytest

from ft_serving.engine import memory

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("content", "expected"),
    [("1073741824\n", 2**30), ("max\n", MACHINE), (f"{2**60}\n", MACHINE), (None, MACHINE)],
)
def test_the_containers_limit_counts_where_it_is_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, expected: int
) -> None:
    file = tmp_path / "memory.max"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(memory, "_CGROUP_LIMIT", file)
    assert memory.memory_limit() == expected
