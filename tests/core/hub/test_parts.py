"""A partial file on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.core.hub import parts
from ft_serving.core.hub.client import RemoteFile
from ft_serving.core.hub.parts import PartialFile

CONTENT = bytes(range(256)) * 64


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PartialFile]:
    """A file in parts that begin within a page, all of them here."""
    monkeypatch.setattr(parts, "PART_BYTES", 5000)
    file = RemoteFile(name="weights", size=len(CONTENT), sha256="0" * 64, git_blob="0" * 40)
    partial = PartialFile(tmp_path, file)
    partial.open()
    for index in range(partial.count):
        start, stop = partial.bounds(index)
        partial.write(start, CONTENT[start:stop])
        partial.mark_done(index)
    yield partial
    partial.close()


def test_the_content_of_the_parts_is_the_file(written: PartialFile) -> None:
    found = []
    for index in range(written.count):
        with written.content(index) as content:
            found.append(bytes(content))
    assert b"".join(found) == CONTENT
    assert [len(part) for part in found] == [5000, 5000, 5000, 1384]


def test_a_file_that_someone_cut_is_an_error_and_no_crash(
    written: PartialFile, tmp_path: Path
) -> None:
    with (tmp_path / "weights.part").open("r+b") as file:
        file.truncate(9000)
    with pytest.raises(OSError, match="was cut short by someone else"), written.content(1):
        pass
