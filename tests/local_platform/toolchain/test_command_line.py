"""`python -m local_platform.toolchain`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local_platform.toolchain import BuildRecord, Toolchain, __main__


def test_what_is_there_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = BuildRecord(version="1.13.1", go="1.26.8", seconds=98.0, size=3 << 20)
    record.write(tmp_path)

    def prepare(report: Callable[[str], None]) -> Toolchain:
        report("building")
        return Toolchain(
            folders={"coredns": tmp_path}, tools={"coredns": tmp_path / "bin" / "coredns"}
        )

    monkeypatch.setattr(__main__, "prepare", prepare)
    empty = Toolchain(folders={}, tools={})
    monkeypatch.setattr(__main__, "build_missing", lambda *_: empty)
    monkeypatch.setattr(__main__, "discard_scratch", lambda report: report("deleted"))
    result = CliRunner().invoke(__main__.app)
    assert result.exit_code == 0
    assert result.stderr == "building\ndeleted\n"
    assert result.stdout.splitlines() == [
        f"{'coredns':18}{'1.13.1':36}    3.1 MB  built with Go 1.26.8 in 0:01:38",
        f"coredns                         {tmp_path}/bin/coredns",
    ]
