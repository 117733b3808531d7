"""The stacks that come with the project keep every rule, and every rule bites."""

from dataclasses import replace
from typing import Any

import pytest

from policy.check import RULES, STACK_RULES, check
from policy.resource import UNKNOWN, StackResource
from policy.rules.network import selects
from tests.policy.resources import Path, changed, instead, resources, the
from tests.policy.token_proxy import manifests
from tests.stacks.documents import MISSING, SHIPPED

JOB, SERVICE = ("Job", "model-download"), ("InferenceService", "inference-service")
PODS: dict[tuple[str, str], Path] = {
    JOB: ("spec", "template", "spec"),
    SERVICE: ("spec", "predictor"),
}
CONTAINER: Path = ("containers", 0)
SECURITY: Path = (*CONTAINER, "securityContext")
ENVIRONMENT = {"name": "HF_TOKEN", "value": "a-token-in-clear"}
BY_NAME = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}

POD_CHANGES: list[tuple[str, Path, Any]] = [
    ("non-root-containers", ("securityContext", "runAsNonRoot"), False),
    ("non-root-containers", ("securityContext", "runAsNonRoot"), MISSING),
    ("non-root-containers", (*SECURITY, "runAsNonRoot"), False),
    ("non-root-containers", (*SECURITY, "runAsUser"), 0),
    ("read-only-root-file-systems", (*SECURITY, "readOnlyRootFilesystem"), False),
    ("read-only-root-file-systems", (*SECURITY, "readOnlyRootFilesystem"), MISSING),
    ("no-privilege-escalation", (*SECURITY, "allowPrivilegeEscalation"), MISSING),
    ("no-privilege-escalation", (*SECURITY, "privileged"), True),
    ("no-capabilities", (*SECURITY, "capabilities"), MISSING),
    ("no-capabilities", (*SECURITY, "capabilities", "drop"), ["NET_RAW"]),
    ("no-capabilities", (*SECURITY, "capabilities", "add"), ["SYS_PTRACE"]),
    ("default-seccomp-profile", ("securityContext", "seccompProfile"), MISSING),
    ("default-seccomp-profile", (*SECURITY, "seccompProfile"), {"type": "Unconfined"}),
    ("no-host-access", ("hostNetwork",), True),
    ("no-host-access", ("hostPID",), True),
    ("no-host-access", ("hostIPC",), True),
    ("no-host-access", ("volumes", 0), {"name": "tmp", "hostPath": {"path": "/"}}),
    ("no-host-access", (*CONTAINER, "ports"), [{"containerPort": 8000, "hostPort": 8000}]),
    ("bounded-resources", (*CONTAINER, "resources", "limits", "memory"), MISSING),
    ("bounded-resources", (*CONTAINER, "resources", "requests", "cpu"), MISSING),
    ("images-by-digest", (*CONTAINER, "image"), "registry.example.com/server:23.05"),
    ("images-by-digest", (*CONTAINER, "image"), "registry.example.com/server:latest"),
    ("images-by-digest", (*CONTAINER, "image"), "registry.example.com/server@sha256:abc"),
    ("images-by-digest", (*CONTAINER, "image"), MISSING),
    ("tokens-by-need", ("automountServiceAccountToken",), True),
    ("tokens-by-need", ("automountServiceAccountToken",), MISSING),
    ("no-plain-credentials", (*CONTAINER, "env"), [ENVIRONMENT]),
    ("no-plain-credentials", (*CONTAINER, "args"), ["--password=a-password"]),
    ("no-plain-credentials", (*CONTAINER, "args"), ["--api-key", "a-key-in-clear"]),
    ("no-plain-credentials", (*CONTAINER, "args"), ["hf_AbCdEfGhIjKlMnOpQrSt"]),
    ("no-plain-credentials", (*CONTAINER, "args"), ["--hub=https://me:word@hub.example.com"]),
    ("no-plain-credentials", (*CONTAINER, "command"), ["serve", "--token=a-token"]),
]
"""Changes of any pod, each of which is against one rule."""

ROLE, ROLE_BINDING = ("Role", "access-gate"), ("RoleBinding", "access-gate")
OTHER_CHANGES: list[tuple[str, tuple[str, str], Path, Any]] = [
    ("no-latest-tag", ("Image", "server"), ("imageName",), "localhost:5000/server:latest"),
    ("no-latest-tag", ("Image", "server"), ("imageName",), "localhost:5000/server"),
    ("tokens-by-need", ("ServiceAccount", "access-gate"), ("automountServiceAccountToken",), True),
    ("no-wildcards-in-roles", ROLE, ("rules", 0, "verbs"), ["*"]),
    ("no-wildcards-in-roles", ROLE, ("rules", 0, "resources"), ["pods/*"]),
    ("no-secrets-in-roles", ROLE, ("rules", 0, "resources"), ["pods", "secrets"]),
    ("no-cluster-roles", ROLE_BINDING, ("roleRef", "kind"), "ClusterRole"),
    ("no-plain-credentials", ("Image", "server"), ("build", "args", "NPM_TOKEN"), "in-clear"),
    (
        "restricted-namespaces",
        ("Namespace", "access"),
        ("metadata", "labels", "pod-security.kubernetes.io/enforce"),
        "baseline",
    ),
    ("restricted-namespaces", ("Namespace", "access"), ("metadata", "labels"), MISSING),
    (
        "network-policy-for-every-pod",
        ("NetworkPolicy", "access-server"),
        ("spec", "podSelector", "matchLabels"),
        {"app.kubernetes.io/component": "another"},
    ),
    (
        "network-policy-for-every-pod",
        ("NetworkPolicy", "access-weights"),
        ("spec", "policyTypes"),
        ["Ingress"],
    ),
    (
        "network-policy-for-every-pod",
        ("NetworkPolicy", "access-gate"),
        ("metadata", "namespace"),
        "another",
    ),
]
"""Changes of other resources, each of which is against one rule."""


def broken(stack: str, old: StackResource, new: StackResource) -> set[tuple[str, str]]:
    """The rules that a stack with a change breaks, and by which kind of resource."""
    return {(it.rule, it.resource.kind) for it in check(instead(stack, old, new))}


def names() -> list[str]:
    return [*(rule.name for rule in RULES), *(rule.name for rule in STACK_RULES)]


@pytest.mark.parametrize("stack", SHIPPED)
def test_a_stack_that_comes_with_the_project_keeps_every_rule(stack: str) -> None:
    assert [str(it) for it in check(resources(stack))] == []


@pytest.mark.parametrize("kind", PODS)
@pytest.mark.parametrize(("rule", "path", "value"), POD_CHANGES)
def test_a_rule_about_pods_bites_and_no_other_one_does(
    rule: str, path: Path, value: object, kind: tuple[str, str]
) -> None:
    old = the("prod", *kind)
    new = changed(old, (*PODS[kind], *path), value)
    assert broken("prod", old, new) == {(rule, kind[0])}


@pytest.mark.parametrize(("rule", "resource", "path", "value"), OTHER_CHANGES)
def test_a_rule_about_other_resources_bites_and_no_other_one_does(
    rule: str, resource: tuple[str, str], path: Path, value: object
) -> None:
    old = the("dev", *resource)
    assert {it for it, _ in broken("dev", old, changed(old, path, value))} == {rule}


def test_a_claim_that_goes_with_the_stack_is_told() -> None:
    old = the("dev", "PersistentVolumeClaim", "storage")
    new = replace(old, protected=False, retained=False)
    assert broken("dev", old, new) == {("kept-claims", "PersistentVolumeClaim")}
    assert broken("dev", old, replace(new, protected=True)) == set()


def test_every_rule_is_among_those_that_were_seen_to_bite() -> None:
    seen = {it[0] for it in POD_CHANGES} | {it[0] for it in OTHER_CHANGES} | {"kept-claims"}
    assert set(names()) == seen


def test_containers_before_the_start_are_looked_at() -> None:
    old = the("dev", *JOB)
    (main,) = old.properties["spec"]["template"]["spec"]["containers"]
    early = {**main, "name": "early", "securityContext": {**main["securityContext"]}}
    early["securityContext"]["privileged"] = True
    new = changed(old, (*PODS[JOB], "initContainers"), [early])
    (violation,) = check(instead("dev", old, new))
    assert str(violation) == (
        "no-privilege-escalation: Job model-download: spec.template.spec.initContainers[0]"
        ".securityContext.privileged: must be left out"
    )


def test_a_secret_by_reference_is_no_secret_in_clear() -> None:
    old = the("dev", *JOB)
    new = changed(old, (*PODS[JOB], *CONTAINER, "env"), [BY_NAME])
    assert broken("dev", old, new) == set()


def test_a_secret_is_not_repeated_in_what_is_said_of_it() -> None:
    old = the("dev", *JOB)
    for field, value in (("env", [ENVIRONMENT]), ("args", ["--token=a-token-in-clear"])):
        (found,) = check(instead("dev", old, changed(old, (*PODS[JOB], *CONTAINER, field), value)))
        assert "a-token-in-clear" not in str(found)


@pytest.mark.parametrize(
    "path",
    [
        (*CONTAINER, "image"),
        (*CONTAINER, "args", 0),
        (*SECURITY, "runAsNonRoot"),
        ("serviceAccountName",),
    ],
)
def test_what_a_preview_does_not_know_yet_breaks_no_rule(path: Path) -> None:
    gate = ("Job", "smoke-test")
    old = the("dev", *gate)
    new = changed(old, (*PODS[JOB], *path), UNKNOWN)
    assert broken("dev", old, new) == set()


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"part": "server"}}, True),
        ({"matchLabels": {"part": "gate"}}, False),
        ({"matchExpressions": [{"key": "part", "operator": "In", "values": ["server"]}]}, True),
        ({"matchExpressions": [{"key": "no", "operator": "In", "values": ["server"]}]}, False),
        ({"matchExpressions": [{"key": "part", "operator": "NotIn", "values": ["server"]}]}, False),
        ({"matchExpressions": [{"key": "no", "operator": "NotIn", "values": ["server"]}]}, True),
        ({"matchExpressions": [{"key": "part", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "part", "operator": "DoesNotExist"}]}, False),
        (
            {
                "matchLabels": {"part": "server"},
                "matchExpressions": [{"key": "no", "operator": "Exists"}],
            },
            False,
        ),
    ],
)
def test_a_selector_selects_as_kubernetes_has_it(selector: dict[str, Any], selected: bool) -> None:
    assert selects(selector, {"part": "server"}) is selected


def test_the_documentations_token_proxy_keeps_every_rule() -> None:
    image = f"registry.example.com/traefik@sha256:{'0' * 64}"
    made = manifests(namespace="models", image=image, token="a-token")
    assert {it["metadata"]["namespace"] for it in made} == {"models"}
    objects = []
    for it in made:
        version = it["apiVersion"] if "/" in it["apiVersion"] else f"core/{it['apiVersion']}"
        kind = f"kubernetes:{version}:{it['kind']}"
        objects.append(StackResource(type=kind, name="it", properties=it))
    assert [str(it) for it in check(objects)] == []
