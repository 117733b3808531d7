"""Reading pins, and the key that names a folder of the cache."""

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.toolchain import pins
from local_platform.toolchain.groups import Group, ModuleSource
from tests.local_platform.toolchain.conftest import taken


def test_lines_and_blocks_are_read(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(
        "module m // not this\n\ngo 1.26.8\n\ntool a.test/cmd/one\n\n"
        "tool (\n\ta.test/cmd/two\n\tb.test/v3/cmd/three // why\n)\n\n"
        "replace c.test => d.test v9.9.9\n\n"
        "require (\n\ta.test v1.2.3 // indirect\n\tb.test/v3 v3.0.0-rc.1\n)\n\n"
        "require c.test v0.1.0\n"
    )
    read = pins.read_pins(tmp_path)
    assert read.go == (1, 26, 8)
    assert read.tools == ("a.test/cmd/one", "a.test/cmd/two", "b.test/v3/cmd/three")
    assert read.versions == {"a.test": "1.2.3", "b.test/v3": "3.0.0-rc.1", "c.test": "0.1.0"}


@pytest.mark.parametrize("text", ["", "module m\n\ngo 1.26\n", "module m\n\ntool a.test/x\n"])
def test_a_module_without_go_or_tools_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "go.mod").write_text(text)
    with pytest.raises(PlatformError, match=r"go\.mod: needs a `go` line and `tool` lines"):
        pins.read_pins(tmp_path)


def test_a_missing_file_is_refused_by_name(group: Group) -> None:
    (group.modules / "tiny" / "go.sum").unlink()
    with pytest.raises(PlatformError, match=r"tiny/go\.sum: cannot be read"):
        pins.key(group)
    (group.modules / "tiny" / "go.mod").unlink()
    with pytest.raises(PlatformError, match=r"tiny/go\.mod: cannot be read"):
        pins.version(group)


def test_a_module_that_is_not_required_has_no_version(group: Group) -> None:
    with pytest.raises(PlatformError, match=r"does not require other\.test"):
        pins.version(replace(group, module="other.test"))


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
def test_another_pin_makes_another_key(group: Group, file: str) -> None:
    before = pins.key(group)
    path = group.modules / "tiny" / file
    path.write_text(path.read_text() + "\n")
    assert pins.key(group) != before


def test_another_recipe_makes_another_key(group: Group) -> None:
    recipes = [
        group,
        replace(group, variables=()),
        replace(group, copied=(taken("config", "manifests"),)),
        replace(group, compiled=(taken("pause.c", "bin/pause"),)),
    ]
    assert len({pins.key(recipe) for recipe in recipes}) == len(recipes)


def test_pins_of_another_group_that_a_source_comes_from_count(group: Group) -> None:
    other = group.modules / "other"
    other.mkdir()
    (other / "go.mod").write_text("module other\n")
    (other / "go.sum").write_text("")
    group = replace(group, copied=(replace(taken("a", "b"), pins="other"),))
    before = pins.key(group)
    (other / "go.sum").write_text("a.test v1.0.0 h1:x=\n")
    assert pins.key(group) != before


def test_another_machine_makes_another_key(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for machine in ("x86_64", "aarch64"):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        keys.add(pins.key(group))
    assert len(keys) == 2


def test_where_the_checkout_lies_makes_no_other_key(group: Group, tmp_path: Path) -> None:
    before = pins.key(group)
    moved = group.modules.rename(tmp_path / "elsewhere")
    assert pins.key(replace(group, modules=moved, cost_s=99)) == before


def test_a_machine_of_another_kind_is_refused(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(PlatformError, match="this machine is riscv64"):
        pins.key(group)


def test_a_renamed_class_makes_no_other_key(group: Group) -> None:
    class Renamed(ModuleSource):
        """What `ModuleSource` may be called some day."""

    source = taken("config", "manifests/config")
    renamed = Renamed(module=source.module, path=source.path, target=source.target)
    keys = {pins.key(replace(group, copied=(each,))) for each in (source, renamed)}
    assert len(keys) == 1, "a build of hours is not done again for a name"
