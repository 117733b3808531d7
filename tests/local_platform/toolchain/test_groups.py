"""The pins and recipes of the repository agree with each other."""

import tomllib
from pathlib import Path

import pytest

from local_platform.toolchain import pins
from local_platform.toolchain.groups import (
    GROUPS,
    KUBERNETES_PLUGIN,
    KUBERNETES_SDK,
    MODULES,
    Group,
)

ALL = (*GROUPS, KUBERNETES_PLUGIN)

each_group = pytest.mark.parametrize("group", ALL, ids=lambda group: group.name)


def test_every_folder_of_pins_is_a_group() -> None:
    assert {folder.name for folder in MODULES.iterdir()} == {group.name for group in ALL}


def test_no_two_groups_have_a_tool_of_one_name() -> None:
    names = [
        package.rpartition("/")[2]
        for group in ALL
        for package in pins.read_pins(MODULES / group.name).tools
    ]
    names += [
        Path(source.target).name
        for group in GROUPS
        for source in group.copied + group.compiled
        if source.target.startswith("bin/")
    ]
    assert sorted(names) == sorted(set(names)), "a tool is asked for by its name only"


@each_group
def test_the_tools_come_from_the_module_that_gives_the_version(group: Group) -> None:
    tools = pins.read_pins(MODULES / group.name).tools
    own = f"ft-serving/local_platform/toolchain/{group.name}/"
    assert all(tool.startswith((group.module, own)) for tool in tools)
    assert pins.version(group)[0].isdigit()


@each_group
def test_every_source_is_pinned_by_hash(group: Group) -> None:
    for source in group.copied + group.embedded + group.compiled:
        pinned = MODULES / (source.pins or group.name)
        version = pins.read_pins(pinned).versions[source.module]
        assert f"{source.module} v{version} h1:" in (pinned / "go.sum").read_text()


def test_the_cli_is_the_sdk_s_equal() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    version = pins.read_pins(MODULES / "pulumi").versions["github.com/pulumi/pulumi/sdk/v3"]
    for extra in ("platform", "program"):
        assert f"pulumi=={version}" in project["optional-dependencies"][extra]
    [cli] = [group for group in GROUPS if group.name == "pulumi"]
    assert pins.version(cli) == version


def test_the_kubernetes_plugin_says_the_sdks_version_and_its_commit() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert f"pulumi-kubernetes=={KUBERNETES_SDK}" in project["optional-dependencies"]["program"]
    commit = pins.version(KUBERNETES_PLUGIN).rpartition("-")[2]
    assert f"={KUBERNETES_SDK}+{commit}" in pins.linker_flags(KUBERNETES_PLUGIN)


def test_the_clis_and_the_plugins_common_packages_are_compiled_once() -> None:
    cli, plugin = (
        pins.read_pins(MODULES / name).versions for name in ("pulumi", "pulumi-kubernetes")
    )
    differ = {name for name in cli.keys() & plugin.keys() if cli[name] != plugin[name]}
    assert differ == {f"github.com/pulumi/pulumi/{part}/v3" for part in ("pkg", "sdk")}
