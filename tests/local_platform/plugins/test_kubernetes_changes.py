"""Differences by property path, and which of them need a new object."""

import pytest

from local_platform.plugins.kubernetes.changes import Change, Path, changes, parsed, shown
from local_platform.plugins.kubernetes.differences import difference
from local_platform.plugins.kubernetes.errors import (
    ClusterError,
    InvalidError,
    NotFoundError,
    UnreachableError,
)
from local_platform.plugins.kubernetes.immutable import immutable
from local_platform.plugins.kubernetes.settings import Settings
from local_platform.plugins.values import UNKNOWN, Secret
from tests.local_platform.plugins.kubernetes_cluster import ScriptedCluster, thing


def test_every_innermost_difference_has_its_path() -> None:
    old = {"a": {"b": 1, "gone": 1}, "list": [1, {"x": 1}, 3]}
    new = {"a": {"b": 2, "new": 1}, "list": [1, {"x": 2}]}
    assert changes(old, new) == {
        ("a", "b"): Change.UPDATED,
        ("a", "gone"): Change.DELETED,
        ("a", "new"): Change.ADDED,
        ("list", 1, "x"): Change.UPDATED,
        ("list", 2): Change.DELETED,
    }


def test_what_the_server_sets_is_no_difference() -> None:
    old = {"metadata": {"resourceVersion": "1", "generation": 1, "uid": "a"}, "status": {"a": 1}}
    new = {"metadata": {"resourceVersion": "2", "generation": 2, "managedFields": []}}
    assert changes(old, new) == {}


def test_a_secret_is_compared_by_its_value() -> None:
    assert changes({"a": Secret("x")}, {"a": "x"}) == {}
    assert changes({"a": Secret({"b": 1})}, {"a": Secret({"b": 2})}) == {("a", "b"): Change.UPDATED}


def test_what_is_not_known_is_a_difference() -> None:
    assert changes({"a": "x"}, {"a": UNKNOWN}) == {("a",): Change.UPDATED}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("spec", "containers", 0, "image"), "spec.containers[0].image"),
        (("data", "app.conf"), 'data["app.conf"]'),
        (("data", 'a"b'), 'data["a\\"b"]'),
    ],
)
def test_paths_are_written_as_the_engine_reads_them(path: Path, text: str) -> None:
    assert shown(path) == text


def test_field_names_of_the_server_are_paths() -> None:
    assert parsed("spec.template.spec.containers[0].image") == (
        "spec",
        "template",
        "spec",
        "containers",
        0,
        "image",
    )


@pytest.mark.parametrize(
    ("kind", "path", "replaced"),
    [
        ("batch/v1 Job", "spec.template.spec.restartPolicy", True),
        ("batch/v1 Job", "spec.parallelism", False),
        ("v1 PersistentVolumeClaim", "spec.storageClassName", True),
        ("v1 PersistentVolumeClaim", "spec.resources.requests.storage", False),
        ("v1 PersistentVolumeClaim", "spec.volumeAttributesClassName", False),
        ("v1 Service", "spec.clusterIP", True),
        ("v1 Service", "spec.ports", False),
        ("v1 ConfigMap", "data.a", True),
        ("v1 ConfigMap", "metadata.labels.a", False),
        ("v1 Secret", "stringData.a", True),
        ("apps/v1 Deployment", "spec.selector.matchLabels.app", True),
        ("apps/v1 Deployment", "spec.template.spec.containers", False),
        ("example.org/v1 Job", "spec.template", False),
    ],
)
def test_fields_that_need_a_new_object(kind: str, path: str, replaced: bool) -> None:
    api_version, name = kind.split()
    changed = tuple(path.split("."))
    old = {"apiVersion": api_version, "kind": name}
    assert (changed in immutable([changed], old, Settings())) is replaced


def test_a_config_map_is_changed_in_place_where_the_provider_says_so_unless_it_is_immutable() -> (
    None
):
    settings = Settings(config_map_mutable=True)
    old = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert not immutable([("data", "a")], old, settings)
    assert immutable([("data", "a")], {**old, "immutable": True}, settings)


def test_equal_inputs_are_not_asked_about() -> None:
    cluster = ScriptedCluster(planned=AssertionError("asked"))
    assert not difference(thing(spec=1), thing(spec=1), cluster, Settings()).changed


def test_what_the_server_would_not_change_is_no_difference() -> None:
    live = thing(spec={"cpu": "1", "default": True})
    cluster = ScriptedCluster(gets=[live], planned=live)
    found = difference(thing(spec={"cpu": "1"}), thing(spec={"cpu": "1000m"}), cluster, Settings())
    assert not found.changed


def test_a_change_in_place_has_the_paths_of_the_server() -> None:
    live = thing(spec={"cpu": "1"})
    cluster = ScriptedCluster(gets=[live], planned=thing(spec={"cpu": "2"}))
    found = difference(live, thing(spec={"cpu": "2"}), cluster, Settings())
    assert dict(found.changed) == {("spec", "cpu"): Change.UPDATED}
    assert not found.replacing
    assert not found.delete_first


@pytest.mark.parametrize(
    ("conditions", "asked", "replaced"),
    [
        ([], "true", True),
        ([{"type": "Failed", "status": "True"}], "true", True),
        ([{"type": "Complete", "status": "True"}], "true", False),
        ([{"type": "Failed", "status": "True"}], "false", False),
    ],
)
def test_a_job_that_did_not_succeed_is_replaced_where_the_program_asks_for_it(
    conditions: list[dict[str, str]], asked: str, replaced: bool
) -> None:
    job = thing("Job", metadata={"annotations": {"pulumi.com/replaceUnready": asked}})
    cluster = ScriptedCluster(gets=[{**job, "status": {"conditions": conditions}}])
    found = difference(job, job, cluster, Settings())
    path = ("metadata", "annotations", "pulumi.com/replaceUnready")
    assert dict(found.changed) == ({path: Change.UPDATED} if replaced else {})
    assert found.replacing == ({path} if replaced else frozenset())
    assert found.delete_first is replaced


def test_a_job_that_is_gone_is_made_by_an_update_and_not_replaced() -> None:
    job = thing("Job", metadata={"annotations": {"pulumi.com/replaceUnready": "true"}})
    assert not difference(job, job, ScriptedCluster(), Settings()).changed


def test_what_the_server_calls_immutable_is_replaced_whatever_the_kind() -> None:
    refusal = InvalidError(
        "invalid",
        causes=[{"field": "spec.size", "reason": "x", "message": "size is immutable"}],
    )
    cluster = ScriptedCluster(gets=[thing()], planned=refusal)
    found = difference(
        thing(spec={"size": 1, "a": 1}), thing(spec={"size": 2, "a": 2}), cluster, Settings()
    )
    assert found.replacing == {("spec", "size")}
    assert found.delete_first, "the name is taken until the old object is gone"


def test_a_refusal_for_another_reason_is_left_to_the_update_to_report() -> None:
    refusal = InvalidError(
        "invalid", causes=[{"field": "spec.size", "reason": "x", "message": "must be positive"}]
    )
    for error in (refusal, ClusterError("webhook says no"), NotFoundError("gone")):
        cluster = ScriptedCluster(gets=[thing()], planned=error)
        found = difference(thing(spec={"size": 1}), thing(spec={"size": -1}), cluster, Settings())
        assert dict(found.changed) == {("spec", "size"): Change.UPDATED}
        assert not found.replacing


def test_a_cluster_that_does_not_answer_is_an_error() -> None:
    cluster = ScriptedCluster(gets=[UnreachableError("unreachable")])
    with pytest.raises(UnreachableError):
        difference(thing(spec=1), thing(spec=2), cluster, Settings())


def test_values_not_known_yet_are_judged_by_the_rules_alone() -> None:
    cluster = ScriptedCluster(planned=AssertionError("asked"))
    old = thing("Job", api_version="batch/v1", spec={"template": {"image": "a"}})
    new = thing("Job", api_version="batch/v1", spec={"template": {"image": UNKNOWN}})
    found = difference(old, new, cluster, Settings())
    assert found.replacing == {("spec", "template", "image")}


def test_another_name_is_another_object_and_in_nobodys_way() -> None:
    found = difference(thing(), thing(metadata={"name": "other"}), ScriptedCluster(), Settings())
    assert found.replacing == {("metadata", "name")}
    assert not found.delete_first


def test_a_made_up_name_is_in_nobodys_way() -> None:
    named = {"annotations": {"pulumi.com/autonamed": "true"}}
    old = thing("ConfigMap", metadata=named, data={"a": "1"})
    new = thing("ConfigMap", metadata=named, data={"a": "2"})
    found = difference(old, new, ScriptedCluster(gets=[old], planned=new), Settings())
    assert found.replacing
    assert not found.delete_first
