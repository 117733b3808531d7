"""Builds a group, with the real Go and without a network, or with a Go that fails."""

import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from local_platform.errors import PlatformError
from local_platform.toolchain import build
from local_platform.toolchain.build import Builder, run_reading
from local_platform.toolchain.groups import Group
from local_platform.toolchain.preparation import build_missing, discard_scratch
from local_platform.toolchain.store import find, folder_of, missing
from tests.local_platform.toolchain.conftest import WORDS, taken
from tests.platform.waiting import wait_until

needs_go = pytest.mark.skipif(
    not (shutil.which("go") and shutil.which("gcc")), reason="needs Go and gcc on PATH"
)


def run(program: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program], capture_output=True, text=True)


@pytest.mark.slow
@needs_go
def test_a_group_is_built_once_with_its_version_and_its_sources(
    home: Path, group: Group, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = home / "scratch" / "tiny" / "bin"
    half.mkdir(parents=True)
    (half / "leftover").write_text("of a run that was killed")
    group = replace(
        group,
        copied=(taken("config", "manifests/tiny/config"), taken("scripts/run", "bin/run")),
        compiled=(taken("pause.c", "bin/pause"),),
    )
    pinned = group.modules / "tiny"
    before = {file: file.read_bytes() for file in pinned.iterdir()}
    with pytest.raises(PlatformError, match="not built, or built from other pins: tiny; run"):
        find([group])

    toolchain = build_missing([group], said.append)

    assert set(toolchain.tools) == {"hello", "run", "pause"}
    assert toolchain.tool("hello") == home / folder_of(group).name / "bin" / "hello"
    assert run(toolchain.tool("hello")).stderr == "hello from v1.2.3-1-2\n"
    assert run(toolchain.tool("run")).stdout == "ran\n", "module archives have no modes"
    assert run(toolchain.tool("pause")).returncode == 7
    assert (toolchain.manifests("tiny") / "tiny/config/deep/one.yaml").read_text() == "kind: One\n"
    assert toolchain.records()["tiny"].version == "1.2.3"
    assert toolchain.records()["tiny"].size >= toolchain.tool("hello").stat().st_size
    assert {file: file.read_bytes() for file in pinned.iterdir()} == before

    discard_scratch(said.append)
    wanted = {folder_of(group).name, "lock"}
    wait_until(lambda: {file.name for file in home.iterdir()} == wanted, "scratch is still there")
    said.clear()
    monkeypatch.setenv("PATH", "")
    assert build_missing([group], said.append) == find([group]), "found without Go"
    assert said == []


@pytest.mark.slow
@needs_go
def test_a_failed_build_quotes_go_and_goes_on_once_it_is_corrected(
    home: Path, group: Group, source: Path, said: list[str]
) -> None:
    (source / "words/words.go").write_text("package words\n\nvar Version = missing\n")
    with pytest.raises(PlatformError, match=r"words\.go:3:15: undefined: missing"):
        build_missing([group], said.append)
    assert missing([group]) == [group]
    (source / "words/words.go").write_text('package words\n\nimport _ "example.test/other"\n')
    with pytest.raises(PlatformError, match=r"example\.test/other"):
        build_missing([group], said.append)
    (source / "words/words.go").write_text(WORDS)
    gone = replace(group, copied=(taken("config/gone", "manifests/gone"),))
    with pytest.raises(PlatformError, match=r"example\.test/tiny has no config/gone"):
        build_missing([gone], said.append)
    assert build_missing([group], said.append).tool("hello").exists()


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("dial tcp: lookup proxy.example: no such host", "check the network and GOPROXY"),
        ("SECURITY ERROR", "What was downloaded is not what is pinned"),
        ("write /x: no space left on device", "make room"),
        ("link: signal: killed", "have 4 GiB free"),
        ("x.go:1:1: expected 'package'", "Remove the cause"),
    ],
)
def test_a_failed_build_gives_the_advice_for_its_cause(
    home: Path, group: Group, tmp_path: Path, line: str, advice: str
) -> None:
    go = tmp_path / "go"
    go.write_text(f'#!/bin/sh\nseq 100\necho "go: downloading a v1"\necho "{line}"\nexit 1\n')
    go.chmod(0o755)
    (tmp_path / "scratch").mkdir()
    builder = Builder(go=go, scratch=tmp_path / "scratch", report=print)
    with pytest.raises(PlatformError) as caught:
        builder.build(group, "tiny")
    first, *lines, last = str(caught.value).splitlines()
    assert first == "tiny: `go install` failed; its last lines:"
    assert lines == [f"  {number}" for number in range(87, 101)] + [f"  {line}"]
    assert advice in last


def test_a_second_run_waits_for_the_first_and_takes_its_build(
    home: Path, group: Group, said: list[str]
) -> None:
    waiting = threading.Event()

    def report(line: str) -> None:
        said.append(line)
        waiting.set()

    home.mkdir(parents=True)
    second = threading.Thread(target=build_missing, args=([group], report))
    with FileLock(home / "lock"):
        second.start()
        assert waiting.wait(10)
        (folder_of(group) / "bin").mkdir(parents=True)
    second.join(10)
    assert not second.is_alive()
    assert said == ["another process builds the platform's tools: waiting for it to end"]


@pytest.mark.parametrize("trap", ["trap 'echo cleaned > mark; exit' INT", "trap '' INT"])
def test_an_interrupt_ends_the_child_even_if_it_does_not_heed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr(build, "_SECONDS_TO_END", 0.5)

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt(line)

    script = f"{trap}; echo $$; while :; do sleep 0.05; done"
    with pytest.raises(KeyboardInterrupt) as caught:
        run_reading(["sh", "-c", script], folder=tmp_path, environment={}, on_line=interrupt)
    assert not Path(f"/proc/{caught.value}").exists()
    assert (tmp_path / "mark").exists() is ("cleaned" in trap)
