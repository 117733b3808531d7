"""A group of one tool, made from a module of two packages that needs no network."""

from pathlib import Path

import pytest

from local_platform.toolchain.groups import Group, ModuleSource

WORDS = 'package words\n\nvar Version = "unset"\n'
MAIN = """package main

import "example.test/tiny/words"

func main() { println("hello from", words.Version) }
"""


@pytest.fixture(scope="session")
def go_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: Go compiles its runtime once."""
    return tmp_path_factory.mktemp("go-cache")


@pytest.fixture
def home(tmp_path: Path, go_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of built groups, in a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GOCACHE", str(go_cache))
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.delenv("GOMODCACHE", raising=False)
    return tmp_path / "cache" / "ft-serving" / "toolchain"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The module's source."""
    source = tmp_path / "tiny"
    files = {
        "go.mod": "module example.test/tiny\n\ngo 1.21\n",
        "words/words.go": WORDS,
        "cmd/hello/main.go": MAIN,
        "config/deep/one.yaml": "kind: One\n",
        "scripts/run": "#!/bin/sh\necho ran\n",
        "pause.c": "int main(void) { return 7; }\n",
    }
    for name, text in files.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return source


@pytest.fixture
def group(tmp_path: Path, source: Path) -> Group:
    """The group `tiny`, pinned to the source."""
    pinned = tmp_path / "modules" / "tiny"
    pinned.mkdir(parents=True)
    (pinned / "go.mod").write_text(
        "module pinned\n\ngo 1.21\n\n"
        f"replace example.test/tiny => {source}\n\n"
        "tool example.test/tiny/cmd/hello\n\n"
        "require example.test/tiny v1.2.3 // indirect\n"
    )
    (pinned / "go.sum").write_text("")
    return Group(
        name="tiny",
        module="example.test/tiny",
        cost_s=3,
        variables=(("example.test/tiny/words.Version", "v{version}-{major}-{minor}"),),
        modules=pinned.parent,
    )


def taken(path: str, target: str) -> ModuleSource:
    """Return a part of the module's source."""
    return ModuleSource(module="example.test/tiny", path=path, target=target)


@pytest.fixture
def said() -> list[str]:
    """The lines that were reported: pass its `append`."""
    return []
