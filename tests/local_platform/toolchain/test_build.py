"""Building a group with the real Go, without a network."""

import shutil
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from local_platform.errors import PlatformError, ToolchainMissingError
from local_platform.toolchain.groups import Group
from local_platform.toolchain.preparation import build_missing, discard_scratch
from local_platform.toolchain.store import find, folder_of
from tests.local_platform.toolchain.conftest import WORDS, taken

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("go") and shutil.which("gcc")), reason="needs Go and gcc on PATH"
    ),
]


def run(program: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program], capture_output=True, text=True)


def test_a_tool_is_built_with_its_version_and_found_by_name(
    home: Path, group: Group, said: list[str]
) -> None:
    toolchain = build_missing([group], said.append)
    program = toolchain.tool("hello")
    assert program == home / folder_of(group).name / "bin" / "hello"
    assert run(program).stderr == "hello from v1.2.3-1-2\n"
    assert said[0].startswith("building tiny into ")
    assert said[-1].startswith("tiny (1 of 1): built in ")
    record = toolchain.records()["tiny"]
    assert record.version == "1.2.3"
    assert record.size >= program.stat().st_size
    assert record.seconds > 0


def test_what_was_built_is_found_again_without_go(
    home: Path, group: Group, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_missing([group], said.append)
    said.clear()
    monkeypatch.setenv("PATH", "")
    assert build_missing([group], said.append) == find([group])
    assert said == []


def test_sources_are_copied_and_compiled_beside_the_tools(
    home: Path, group: Group, said: list[str]
) -> None:
    group = replace(
        group,
        copied=(taken("config", "manifests/tiny/config"), taken("scripts/run", "bin/run")),
        compiled=(taken("pause.c", "bin/pause"),),
    )
    toolchain = build_missing([group], said.append)
    assert (toolchain.manifests("tiny") / "tiny/config/deep/one.yaml").read_text() == "kind: One\n"
    assert run(toolchain.tool("run")).stdout == "ran\n", "module archives have no modes"
    assert run(toolchain.tool("pause")).returncode == 7
    assert set(toolchain.tools) == {"hello", "run", "pause"}


def test_a_build_leaves_only_the_group_behind(home: Path, group: Group, said: list[str]) -> None:
    pinned = group.modules / "tiny"
    before = {file: file.read_bytes() for file in pinned.iterdir()}
    build_missing([group], said.append)
    discard_scratch(said.append)
    wanted, deadline = {folder_of(group).name, "lock"}, time.monotonic() + 60
    while {file.name for file in home.iterdir()} != wanted:
        assert time.monotonic() < deadline, list(home.iterdir())
        time.sleep(0.05)
    assert {file: file.read_bytes() for file in pinned.iterdir()} == before
    assert said[-1] == "deleting in the background what the built tools no longer need"


def test_a_half_finished_build_is_not_found_and_is_built_anew(
    home: Path, group: Group, said: list[str]
) -> None:
    half = home / "scratch" / "tiny" / "bin"
    half.mkdir(parents=True)
    (half / "leftover").write_text("half a program")
    with pytest.raises(ToolchainMissingError):
        find([group])
    assert set(build_missing([group], said.append).tools) == {"hello"}


def test_a_failed_build_says_what_go_said_and_goes_on_when_mended(
    home: Path, group: Group, source: Path, said: list[str]
) -> None:
    (source / "words/words.go").write_text("package words\n\nvar Version = missing\n")
    with pytest.raises(PlatformError) as caught:
        build_missing([group], said.append)
    message = str(caught.value)
    assert message.startswith("tiny (1 of 1): `go install` failed; its last lines:\n")
    assert "words.go:3:15: undefined: missing" in message
    assert f"is kept in {home / 'scratch'}." in message
    with pytest.raises(ToolchainMissingError, match="tiny"):
        find([group])
    (source / "words/words.go").write_text(WORDS)
    assert build_missing([group], said.append).tool("hello").exists()


def test_a_source_that_the_version_lacks_is_named(
    home: Path, group: Group, said: list[str]
) -> None:
    group = replace(group, copied=(taken("config/gone", "manifests/gone"),))
    with pytest.raises(PlatformError, match=r"example\.test/tiny has no config/gone"):
        build_missing([group], said.append)


def test_a_module_that_is_not_pinned_is_refused(
    home: Path, group: Group, source: Path, said: list[str]
) -> None:
    (source / "words/words.go").write_text('package words\n\nimport _ "example.test/other"\n')
    with pytest.raises(PlatformError, match=r"example\.test/other"):
        build_missing([group], said.append)


def test_a_second_run_waits_for_the_first_and_says_so(
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
        assert said == ["another process builds the platform's tools: waiting for it to end"]
        # What the first one has built until it lets go.
        built = folder_of(group)
        (built / "bin").mkdir(parents=True)
        (built / "bin" / "hello").write_text("")
    second.join(10)
    assert not second.is_alive()
    assert len(said) == 1, "the second takes what the first has built"
