"""A partial file on disk."""

from pathlib import Path

import pytest

from ft_serving.core.hub import parts
from ft_serving.core.hub.client import RemoteFile
from ft_serving.core.hub.parts import PartialFile


def test_a_file_that_someone_cut_is_an_error_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Parts that begin within a page.
    monkeypatch.setattr(parts, "PART_BYTES", 5000)
    file = RemoteFile(name="weights", size=15_000, sha256="0" * 64, git_blob="0" * 40)
    partial = PartialFile(tmp_path, file)
    partial.open()
    with (tmp_path / "weights.part").open("r+b") as part:
        part.truncate(9000)
    with pytest.raises(OSError, match="was cut short by someone else"), partial.content(1):
        pass
    partial.close()
