"""What a failed build says, with a Go that fails as the real one does."""

from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.toolchain.build import Builder
from local_platform.toolchain.groups import Group


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (
            'Get "https://proxy.example/x": dial tcp: lookup proxy.example: no such host',
            "check the network and GOPROXY",
        ),
        ("SECURITY ERROR", "What was downloaded is not what is pinned"),
        ("write /x: no space left on device", "make room"),
        ("link: signal: killed", "have 4 GiB free"),
        ("x.go:1:1: expected 'package'", "When the cause is mended"),
    ],
)
def test_the_cause_decides_what_to_do(
    home: Path, group: Group, tmp_path: Path, line: str, advice: str
) -> None:
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho 'go: downloading a v1'\ncat <<'END' >&2\n{line}\nEND\nexit 1\n")
    go.chmod(0o755)
    builder = Builder(go=go, scratch=tmp_path / "scratch", report=print)
    with pytest.raises(PlatformError) as caught:
        builder.build(group, "tiny")
    message = str(caught.value)
    assert message.startswith(f"tiny: `go list` failed; its last lines:\n  {line}\n")
    assert advice in message
    assert "downloading" not in message


def test_only_the_last_lines_are_told(home: Path, group: Group, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\nseq 1000\nexit 1\n")
    go.chmod(0o755)
    builder = Builder(go=go, scratch=tmp_path / "scratch", report=print)
    with pytest.raises(PlatformError) as caught:
        builder.build(group, "tiny")
    lines = str(caught.value).splitlines()
    assert lines[1:-1] == [f"  {number}" for number in range(986, 1001)]
