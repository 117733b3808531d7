"""Names, ids, and what the state keeps of an object."""

import base64
from typing import Any

import pytest

from local_platform.plugins.errors import PluginError
from local_platform.plugins.kubernetes.manifest import (
    expected,
    imported,
    named,
    outputs,
    parse_id,
    refreshed,
    resource_id,
    without_nulls,
)
from local_platform.plugins.kubernetes.tokens import parse_token
from local_platform.plugins.values import UNKNOWN, Secret
from tests.local_platform.plugins.kubernetes_cluster import thing


def test_a_name_is_the_resources_with_a_random_end() -> None:
    manifest: dict[str, Any] = {}
    named(manifest, {}, "settings", b"seed")
    assert manifest["metadata"] == {
        "name": "settings-19b25856",
        "annotations": {"pulumi.com/autonamed": "true"},
    }
    other: dict[str, Any] = {}
    named(other, {}, "settings", b"another")
    assert other["metadata"]["name"] != manifest["metadata"]["name"]


def test_a_made_up_name_is_kept() -> None:
    old: dict[str, Any] = {}
    named(old, {}, "settings", b"seed")
    new: dict[str, Any] = {"metadata": {"annotations": {"a": "b"}}}
    named(new, old, "settings", b"another")
    assert new["metadata"]["name"] == old["metadata"]["name"]
    assert new["metadata"]["annotations"] == {"a": "b", "pulumi.com/autonamed": "true"}


def test_a_name_that_the_program_once_gave_is_not_kept() -> None:
    new: dict[str, Any] = {}
    named(new, {"metadata": {"name": "fixed"}}, "settings", b"seed")
    assert new["metadata"]["name"] == "settings-19b25856"


@pytest.mark.parametrize("name", ["given", UNKNOWN])
def test_a_name_is_not_overridden(name: object) -> None:
    manifest = {"metadata": {"name": name}}
    named(manifest, {}, "settings", b"seed")
    assert manifest == {"metadata": {"name": name}}


@pytest.mark.parametrize("annotations", [UNKNOWN, Secret({"a": "b"})])
def test_a_name_is_made_up_beside_annotations_of_any_kind(annotations: object) -> None:
    manifest: dict[str, Any] = {"metadata": {"annotations": annotations}}
    named(manifest, {}, "settings", b"seed")
    assert manifest["metadata"]["name"] == "settings-19b25856"
    assert type(manifest["metadata"]["annotations"]) is type(annotations)


def test_ids_are_namespace_and_name() -> None:
    assert resource_id(thing()) == "default/it"
    assert resource_id({"metadata": {"name": "it"}}) == "it"
    assert parse_id("default/it") == ("default", "it")
    assert parse_id("it") == (None, "it")


def test_nulls_are_left_out() -> None:
    assert without_nulls({"a": None, "b": [{"c": None}], "d": Secret({"e": None})}) == {
        "b": [{}],
        "d": Secret({}),
    }


def test_a_secrets_contents_are_secret_however_it_was_made() -> None:
    last_applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "plain": "a"}
    live = thing("Secret", data={"a": "eA=="}, metadata={"annotations": last_applied})
    kept = outputs(live, {})
    assert kept["data"] == Secret({"a": "eA=="})
    assert kept["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/last-applied-configuration": Secret("{}"),
        "plain": "a",
    }


def test_what_the_program_calls_secret_is_secret_in_the_outputs() -> None:
    live = thing("ConfigMap", data={"open": "a", "hidden": "b"})
    kept = outputs(live, {"data": {"open": "a", "hidden": Secret("b")}})
    assert kept["data"] == {"open": "a", "hidden": Secret("b")}


def test_who_owns_which_field_is_not_kept() -> None:
    live = thing(metadata={"managedFields": [{"manager": "x"}]})
    assert "managedFields" not in outputs(live, {})["metadata"]


def test_a_preview_does_not_pretend_to_know_what_only_creation_tells() -> None:
    told = expected(thing(status={"phase": "Pending"}, spec={"a": 1}), {})
    assert told["status"] is UNKNOWN
    assert told["metadata"]["uid"] is UNKNOWN
    assert told["metadata"]["name"] == "it"
    assert told["spec"] == {"a": 1}


def test_imported_inputs_are_what_a_program_would_say() -> None:
    live = thing(
        "Secret",
        type="Opaque",
        data={"a": "eA=="},
        status={"x": 1},
        metadata={"labels": {"a": "b"}, "resourceVersion": "5", "managedFields": []},
    )
    assert imported(live) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "data": Secret({"a": "eA=="}),
        "metadata": {"name": "it", "namespace": "default", "labels": {"a": "b"}},
    }


def test_a_refresh_sees_drift_only_where_the_program_says_something() -> None:
    inputs = thing(spec={"a": 1, "b": {"c": 1}, "gone": 1, "list": [{"x": 1}, {"y": 1}]})
    live = thing(
        spec={"a": 2, "b": {"c": 1, "d": 2}, "other": 1, "list": [{"x": 2, "z": 3}, {"y": 1}]}
    )
    assert refreshed(inputs, live)["spec"] == {
        "a": 2,
        "b": {"c": 1},
        "list": [{"x": 2}, {"y": 1}],
    }


def test_a_list_of_another_length_is_drift_as_a_whole() -> None:
    inputs, live = thing(spec={"list": [1]}), thing(spec={"list": [1, 2]})
    assert refreshed(inputs, live)["spec"] == {"list": [1, 2]}


def test_a_secret_given_as_text_is_refreshed_as_text() -> None:
    inputs = thing("Secret", stringData=Secret({"a": "x"}))
    live = thing("Secret", data={"a": base64.b64encode(b"y").decode()})
    assert refreshed(inputs, live)["stringData"] == Secret({"a": "y"})


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("kubernetes:core/v1:Secret", ("v1", "Secret")),
        ("kubernetes:batch/v1:Job", ("batch/v1", "Job")),
        ("kubernetes:example.org/v1:AllowList", ("example.org/v1", "AllowList")),
        (
            "kubernetes:serving.kserve.io/v1beta1:InferenceService",
            ("serving.kserve.io/v1beta1", "InferenceService"),
        ),
    ],
)
def test_tokens_are_kinds(token: str, kind: tuple[str, str]) -> None:
    assert parse_token(token) == kind


@pytest.mark.parametrize(
    "token",
    [
        "kubernetes:helm.sh/v3:Release",
        "kubernetes:yaml/v2:ConfigFile",
        "kubernetes:kustomize/v2:Directory",
        "kubernetes:apps/v1:DeploymentPatch",
        "kubernetes:networking.k8s.io/v1:IngressPatch",
        "kubernetes:core/v1:ConfigMapList",
    ],
)
def test_what_is_not_served_is_refused_by_name(token: str) -> None:
    with pytest.raises(PluginError, match=f"{token}: .* need the real kubernetes plugin"):
        parse_token(token)
