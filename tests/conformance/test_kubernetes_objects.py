"""Objects of Kubernetes: made, compared, changed, replaced, deleted."""

import base64
import subprocess

import pytest

from tests.conformance.cluster import Namespace
from tests.conformance.stack import Stack

pytestmark = [pytest.mark.platform, pytest.mark.slow]

CONFIG_MAP = """
    import pulumi, pulumi_kubernetes as k
    settings = k.core.v1.ConfigMap(
        "settings", metadata={{"namespace": "{namespace}", {name}}}, data={{"a": "{value}"}})
    pulumi.export("name", settings.metadata["name"])
"""

QUOTA = """
    import pulumi_kubernetes as k
    k.core.v1.ResourceQuota(
        "quota",
        metadata={{"name": "quota", "namespace": "{namespace}", "labels": {labels}}},
        spec={{"hard": {{"requests.cpu": "{cpu}"}}}})
"""

SECRET = """
    import pulumi, pulumi_kubernetes as k
    k.core.v1.Secret(
        "token",
        metadata={{"name": "token", "namespace": "{namespace}"}},
        string_data={{"token": "correct-horse-battery"}})
    k.core.v1.ConfigMap(
        "mixed",
        metadata={{"name": "mixed", "namespace": "{namespace}"}},
        data={{"open": "seen", "hidden": pulumi.Output.secret("staple-of-secrets")}})
"""


def config_map(namespace: Namespace, value: str, name: str = "") -> str:
    given = f'"name": "{name}"' if name else ""
    return CONFIG_MAP.format(namespace=namespace.name, value=value, name=given)


def test_an_object_is_made_found_unchanged_and_deleted(stack: Stack, namespace: Namespace) -> None:
    program = config_map(namespace, "1", "settings")

    assert stack.up(program).operations("settings") == ["create"]
    assert namespace.get("configmap", "settings")["data"] == {"a": "1"}
    assert stack.up(program).operations("settings") == ["same"]
    assert stack.destroy().operations("settings") == ["delete"]
    assert namespace.find("configmap", "settings") is None, "destroy waits until it is gone"


def test_a_name_is_made_up_and_kept(stack: Stack, namespace: Namespace) -> None:
    stack.up(config_map(namespace, "1"))
    name = stack.outputs()["name"]

    assert name.startswith("settings-")
    assert stack.up(config_map(namespace, "1")).operations("settings") == ["same"]
    assert stack.outputs()["name"] == name


def test_a_replaced_object_with_a_made_up_name_stays_until_the_new_one_is_there(
    stack: Stack, namespace: Namespace
) -> None:
    stack.up(config_map(namespace, "1"))
    name = stack.outputs()["name"]

    report = stack.up(config_map(namespace, "2"))

    assert report.operations("settings") == ["create-replacement", "replace", "delete-replaced"]
    assert next(step for step in report.steps if step.operation == "replace").diffs == ["data"]
    assert stack.outputs()["name"] != name
    assert namespace.names("configmap") == [stack.outputs()["name"]]


def test_a_replaced_object_with_a_fixed_name_is_deleted_first(
    stack: Stack, namespace: Namespace
) -> None:
    stack.up(config_map(namespace, "1", "settings"))

    report = stack.up(config_map(namespace, "2", "settings"))

    assert report.operations("settings") == ["delete-replaced", "replace", "create-replacement"]
    assert namespace.get("configmap", "settings")["data"] == {"a": "2"}


def test_an_object_with_another_name_is_another_object(stack: Stack, namespace: Namespace) -> None:
    stack.up(config_map(namespace, "1", "one"))

    report = stack.up(config_map(namespace, "1", "two"))

    assert report.operations("settings") == ["create-replacement", "replace", "delete-replaced"]
    assert namespace.names("configmap") == ["two"]


def test_a_change_is_made_in_place_where_the_api_allows_it(
    stack: Stack, namespace: Namespace
) -> None:
    stack.up(QUOTA.format(namespace=namespace.name, cpu=1, labels={"a": "1", "b": "1"}))
    uid = namespace.get("resourcequota", "quota")["metadata"]["uid"]
    program = QUOTA.format(namespace=namespace.name, cpu=2, labels={"a": "1"})

    assert stack.preview(program).step("quota").operation == "update"
    report = stack.up(program)

    assert report.operations("quota") == ["update"]
    assert report.step("quota").diffs == ["metadata", "spec"]
    quota = namespace.get("resourcequota", "quota")
    assert quota["metadata"]["uid"] == uid
    assert quota["metadata"]["labels"] == {"a": "1"}, "what the program no longer says is removed"


def test_fields_of_others_are_no_difference(stack: Stack, namespace: Namespace) -> None:
    program = QUOTA.format(namespace=namespace.name, cpu=1, labels={"a": "1"})
    stack.up(program)
    namespace.patch("resourcequota", "quota", {"metadata": {"labels": {"others": "1"}}})

    assert stack.up(program).operations("quota") == ["same"]
    stack.refresh()
    assert stack.up(program).operations("quota") == ["same"]
    assert namespace.get("resourcequota", "quota")["metadata"]["labels"]["others"] == "1"


def test_a_field_that_another_manager_has_changed_is_a_conflict_by_name(
    stack: Stack, namespace: Namespace
) -> None:
    stack.up(QUOTA.format(namespace=namespace.name, cpu=1, labels={}))
    change = {"spec": {"hard": {"requests.cpu": "5"}}}
    namespace.patch("resourcequota", "quota", change, "--field-manager=autoscaler")

    report = stack.up(QUOTA.format(namespace=namespace.name, cpu=2, labels={}))

    assert not report.succeeded
    assert 'conflict with "autoscaler"' in report.messages
    assert ".spec.hard.requests.cpu" in report.messages


def test_drift_shows_in_a_refresh_and_is_repaired_by_force(
    stack: Stack, namespace: Namespace
) -> None:
    program = f"""
        import pulumi_kubernetes as k
        k.core.v1.ResourceQuota(
            "quota",
            metadata={{
                "name": "quota",
                "namespace": "{namespace.name}",
                "annotations": {{"pulumi.com/patchForce": "true"}},
            }},
            spec={{"hard": {{"requests.cpu": "1"}}}})
    """
    stack.up(program)
    namespace.patch("resourcequota", "quota", {"spec": {"hard": {"requests.cpu": "5"}}})

    assert stack.refresh().step("quota").outputs["spec"]["hard"]["requests.cpu"] == "5"
    assert stack.up(program).operations("quota") == ["update"]
    assert namespace.get("resourcequota", "quota")["spec"]["hard"]["requests.cpu"] == "1"


def test_an_object_that_is_gone_is_made_again_after_a_refresh(
    stack: Stack, namespace: Namespace
) -> None:
    program = config_map(namespace, "1", "settings")
    stack.up(program)
    namespace.kubectl("delete", "configmap", "settings")

    stack.refresh()

    assert stack.up(program).operations("settings") == ["create"]


def test_destroy_tolerates_what_is_gone(stack: Stack, namespace: Namespace) -> None:
    stack.up(config_map(namespace, "1", "settings"))
    namespace.kubectl("delete", "configmap", "settings")

    assert stack.destroy().succeeded


def test_creation_takes_an_object_over(stack: Stack, namespace: Namespace) -> None:
    namespace.kubectl("create", "configmap", "settings")

    assert stack.up(config_map(namespace, "1", "settings")).operations("settings") == ["create"]
    assert namespace.get("configmap", "settings")["data"] == {"a": "1"}


def test_an_object_is_imported(stack: Stack, namespace: Namespace) -> None:
    namespace.kubectl("create", "configmap", "settings", "--from-literal=a=1")
    program = f"""
        import pulumi, pulumi_kubernetes as k
        k.core.v1.ConfigMap(
            "settings", metadata={{"name": "settings", "namespace": "{namespace.name}"}},
            data={{"a": "1"}},
            opts=pulumi.ResourceOptions(import_="{namespace.name}/settings"))
    """

    assert stack.up(program).operations("settings") == ["import"]
    assert stack.up(config_map(namespace, "1", "settings")).operations("settings") == ["same"]


def test_an_existing_object_is_read(stack: Stack, namespace: Namespace) -> None:
    namespace.kubectl("create", "configmap", "settings", "--from-literal=a=1")

    report = stack.up(f"""
        import pulumi, pulumi_kubernetes as k
        found = k.core.v1.ConfigMap.get("settings", "{namespace.name}/settings")
        pulumi.export("data", found.data)
    """)

    assert report.succeeded, report.messages
    assert stack.outputs()["data"] == {"a": "1"}


def test_secrets_are_encrypted_in_the_state(stack: Stack, namespace: Namespace) -> None:
    report = stack.up(SECRET.format(namespace=namespace.name))

    assert report.succeeded, report.messages
    stored = namespace.get("secret", "token")["data"]["token"]
    assert base64.b64decode(stored) == b"correct-horse-battery"
    state = stack.state()
    for hidden in ("correct-horse-battery", stored, "staple-of-secrets"):
        assert hidden not in state
        assert hidden not in report.messages
    assert "seen" in state
    assert stack.up(SECRET.format(namespace=namespace.name)).operations("token") == ["same"]
    stack.refresh()
    assert "staple-of-secrets" not in stack.state()
    assert stored not in stack.state()
    assert stack.up(SECRET.format(namespace=namespace.name)).operations("token") == ["same"]


def test_a_field_that_the_kind_does_not_have_fails_the_preview(
    stack: Stack, namespace: Namespace
) -> None:
    report = stack.preview(f"""
        import pulumi_kubernetes as k
        k.apiextensions.CustomResource(
            "job", api_version="batch/v1", kind="Job",
            metadata={{"name": "job", "namespace": "{namespace.name}"}},
            spec={{"tempate": {{}}}})
    """)

    assert not report.succeeded
    assert "tempate" in report.messages
    assert namespace.names("job") == []


def test_a_preview_changes_nothing_and_knows_what_a_dry_run_tells(
    stack: Stack, namespace: Namespace
) -> None:
    report = stack.preview(QUOTA.format(namespace=namespace.name, cpu=1, labels={}))

    assert report.step("quota").operation == "create"
    assert namespace.names("resourcequota") == []


def test_a_namespace_and_what_goes_into_it_are_previewed_and_made_together(stack: Stack) -> None:
    program = """
        import pulumi, pulumi_kubernetes as k
        ns = k.core.v1.Namespace("conformance")
        k.core.v1.ConfigMap("inside", metadata={"namespace": ns.metadata["name"]}, data={"a": "1"})
        pulumi.export("name", ns.metadata["name"])
    """

    assert stack.preview(program).succeeded
    assert stack.up(program).succeeded
    assert len(Namespace(stack.outputs()["name"]).names("configmap")) == 1
    name = stack.outputs()["name"]
    assert stack.destroy().succeeded
    with pytest.raises(subprocess.CalledProcessError):
        Namespace(name).kubectl("get", "namespace", name)


def test_a_provider_of_the_program_has_its_own_namespace(
    stack: Stack, namespace: Namespace
) -> None:
    program = f"""
        import os, pulumi, pulumi_kubernetes as k
        cluster = k.Provider(
            "cluster", namespace="{namespace.name}", kubeconfig=os.environ["KUBECONFIG"])
        k.core.v1.ConfigMap(
            "settings", metadata={{"name": "settings"}}, data={{"a": "1"}},
            opts=pulumi.ResourceOptions(provider=cluster))
    """

    assert stack.up(program).succeeded
    assert namespace.get("configmap", "settings")["data"] == {"a": "1"}
    assert stack.up(program).operations("settings") == ["same"]


def test_a_cluster_that_does_not_answer_is_named(stack: Stack, namespace: Namespace) -> None:
    report = stack.up("""
        import json, pulumi, pulumi_kubernetes as k
        cluster = k.Provider("cluster", kubeconfig=json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
            "users": [{"name": "u", "user": {}}]}))
        k.core.v1.ConfigMap("settings", data={"a": "1"},
                            opts=pulumi.ResourceOptions(provider=cluster))
    """)

    assert not report.succeeded
    assert "configured Kubernetes cluster is unreachable" in report.messages
