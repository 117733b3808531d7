"""The pins of the tools, and the key that names a group's folder in the cache."""

import platform
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from local_platform.toolchain import pins
from local_platform.toolchain.groups import (
    GROUPS,
    KUBERNETES_PLUGIN,
    KUBERNETES_SDK,
    MODULES,
    Group,
    ModuleSource,
)
from tests.local_platform.toolchain.conftest import taken

ALL = (*GROUPS, KUBERNETES_PLUGIN)


def test_the_key_changes_with_all_that_goes_into_the_tools(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = group.modules / "other"
    other.mkdir()
    for file in ("go.mod", "go.sum"):
        (other / file).write_text("")
    group = replace(group, copied=(replace(taken("a", "b"), pins="other"),))
    keys = [pins.key(group), pins.key(replace(group, variables=())), pins.key(
        replace(group, compiled=(taken("pause.c", "bin/pause"),))
    )]  # fmt: skip
    for path in (group.modules / "tiny/go.mod", group.modules / "tiny/go.sum", other / "go.sum"):
        path.write_text(path.read_text() + "\n")
        keys.append(pins.key(group))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    keys.append(pins.key(group))
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_change_with_the_checkout_or_the_code(
    group: Group, tmp_path: Path
) -> None:
    class Renamed(ModuleSource):
        """`ModuleSource` under another name."""

    renamed = Renamed(module="example.test/tiny", path="config", target="manifests/config")
    before = pins.key(replace(group, copied=(taken("config", "manifests/config"),)))
    moved = group.modules.rename(tmp_path / "elsewhere")
    after = pins.key(replace(group, copied=(renamed,), modules=moved, cost_s=99))
    assert after == before, "a build of hours is not done again for a name"


def test_every_source_is_pinned_by_hash() -> None:
    assert {folder.name for folder in MODULES.iterdir()} == {group.name for group in ALL}
    for group in ALL:
        for source in group.copied + group.embedded + group.compiled:
            pinned = MODULES / (source.pins or group.name)
            version = pins.requirements(pinned)[source.module]
            assert f"{source.module} v{version} h1:" in (pinned / "go.sum").read_text()


def test_the_cli_and_the_plugin_are_of_the_sdks_versions() -> None:
    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    cli, plugin = (pins.requirements(MODULES / name) for name in ("pulumi", "pulumi-kubernetes"))
    version = cli["github.com/pulumi/pulumi/sdk/v3"]
    assert cli["github.com/pulumi/pulumi/pkg/v3"] == version
    for extra in ("platform", "program"):
        assert f"pulumi=={version}" in extras[extra]
    assert f"pulumi-kubernetes=={KUBERNETES_SDK}" in extras["program"]
    commit = pins.version(KUBERNETES_PLUGIN).rpartition("-")[2]
    assert f"={KUBERNETES_SDK}+{commit}" in pins.linker_flags(KUBERNETES_PLUGIN)
    differ = {name for name in cli.keys() & plugin.keys() if cli[name] != plugin[name]}
    assert differ == {f"github.com/pulumi/pulumi/{part}/v3" for part in ("pkg", "sdk")}, (
        "Go compiles the packages that both share once"
    )


def test_the_documents_name_the_versions_that_the_platform_has() -> None:
    modules = {
        "kubernetes": "k8s.io/kubernetes",
        "kserve": "github.com/kserve/kserve",
        "knative": "knative.dev/serving",
    }
    kubernetes, kserve, knative = (
        pins.requirements(MODULES / name)[module] for name, module in modules.items()
    )
    named = f"Kubernetes {kubernetes}, KServe {kserve} and Knative Serving {knative}"
    assert named in Path("docs/preflight.md").read_text()
