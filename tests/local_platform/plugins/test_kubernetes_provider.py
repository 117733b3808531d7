"""The settings of the provider and the calls of the engine that need no cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime.proto import provider_pb2

from local_platform.plugins.engine import Engine
from local_platform.plugins.errors import PluginError
from local_platform.plugins.kubernetes.provider import KubernetesPlugin
from local_platform.plugins.kubernetes.settings import Settings
from local_platform.plugins.values import UNKNOWN, from_struct, to_struct


def kubeconfig(server: str = "https://127.0.0.1:1") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "first"}},
            {"name": "two", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
    }


@pytest.fixture
def plugin() -> KubernetesPlugin:
    """A plugin that is not configured, and whose engine nobody serves."""
    return KubernetesPlugin(Engine("127.0.0.1:1"))


def test_the_namespace_comes_from_the_provider_then_the_context_then_kubernetes() -> None:
    text = yaml.safe_dump(kubeconfig())
    assert Settings(kubeconfig=text, namespace="given").default_namespace == "given"
    assert Settings(kubeconfig=text).default_namespace == "first"
    assert Settings(kubeconfig=text, context="two").default_namespace == "default"


def test_a_kubeconfig_is_a_path_or_its_contents_or_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig("https://file:1")))
    monkeypatch.setenv("KUBECONFIG", str(path))
    contents = json.dumps(kubeconfig("https://json:1"))
    assert Settings(kubeconfig=contents).server() == "https://json:1"
    assert Settings(kubeconfig=str(path)).server() == "https://file:1"
    assert Settings().server() == "https://file:1"


@pytest.mark.parametrize("text", ["/does/not/exist", "{", "a:\n- b", "{}"])
def test_a_kubeconfig_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PluginError, match="configured Kubernetes cluster is unreachable: "):
        Settings(kubeconfig=text).client()


def test_flags_come_as_text_or_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_K8S_ENABLE_SECRET_MUTABLE", "true")
    settings = Settings.of({"enablePatchForce": "true"})
    assert settings.patch_force
    assert settings.secret_mutable
    assert not settings.upsert, "as the real plugin 4.34"
    assert Settings.of({"upsertExistingObjects": "true"}).upsert
    assert not settings.config_map_mutable


@pytest.mark.parametrize(
    ("name", "value"), [("renderYamlToDirectory", "out"), ("enableServerSideApply", "false")]
)
def test_a_setting_without_effect_is_refused(
    plugin: KubernetesPlugin, name: str, value: str
) -> None:
    request = provider_pb2.CheckRequest(news=to_struct({name: value, "namespace": UNKNOWN}))
    failures = plugin.check_config(request).failures
    assert [failure.property for failure in failures] == [name]


def test_another_cluster_replaces_the_provider_and_another_namespace_does_not(
    plugin: KubernetesPlugin,
) -> None:
    def difference(**news: str) -> provider_pb2.DiffResponse:
        olds = {"kubeconfig": json.dumps(kubeconfig())}
        return plugin.diff_config(
            provider_pb2.DiffRequest(olds=to_struct(olds), news=to_struct({**olds, **news}))
        )

    assert difference().changes == provider_pb2.DiffResponse.DIFF_NONE
    moved = difference(kubeconfig=json.dumps(kubeconfig("https://127.0.0.1:2")))
    assert list(moved.replaces) == ["kubeconfig"]
    renamed = difference(namespace="other")
    assert list(renamed.diffs) == ["namespace"]
    assert not renamed.replaces
    same_server = difference(kubeconfig=json.dumps(kubeconfig(), indent=1))
    assert not same_server.replaces


def test_yaml_is_read_for_the_sdk(plugin: KubernetesPlugin) -> None:
    args = to_struct({"text": "a: 1\n---\n---\nb: 2\n"})
    request = provider_pb2.InvokeRequest(tok="kubernetes:yaml:decode", args=args)
    answer = plugin.invoke(request)
    assert from_struct(getattr(answer, "return")) == {"result": [{"a": 1}, {"b": 2}]}


def test_an_unknown_function_is_refused(plugin: KubernetesPlugin) -> None:
    with pytest.raises(PluginError, match="only the real kubernetes plugin has this function"):
        plugin.invoke(provider_pb2.InvokeRequest(tok="kubernetes:helm:template"))


def test_an_annotation_that_is_not_understood_fails_the_check(plugin: KubernetesPlugin) -> None:
    annotations = {"pulumi.com/waitFor": "Ready"}
    metadata = {"name": "a", "namespace": "b", "annotations": annotations}
    response = plugin.check(
        provider_pb2.CheckRequest(
            type="kubernetes:core/v1:ConfigMap",
            name="a",
            news=to_struct({"metadata": metadata}),
        )
    )
    assert [failure.property for failure in response.failures] == ["metadata.annotations"]
