"""Each lack of a cluster is found, with a remedy, and a sound cluster has none."""

import pytest

from operations.preflight.facts import FactKind, RegistryAnswer, Severity
from operations.preflight.needs import permissions
from tests.operations.preflight.cluster import (
    GROUPS,
    config_map,
    deployment,
    found,
    needs,
    node,
    one,
    storage_class,
)
from tests.stacks.documents import DIGEST, SHIPPED

CORE_WEAVE = {
    "scheduling.region": None,
    "scheduling.nodeLabels": "nvidia",
    "scheduling.tolerations": [{"key": "nvidia.com/gpu"}],
}
"""What makes the sound cluster's nodes those of the stack."""


@pytest.mark.parametrize("stack", SHIPPED)
def test_a_sound_cluster_lacks_nothing(stack: str) -> None:
    wanted = needs(stack, CORE_WEAVE if stack == "coreweave" else None)
    assert found(wanted) == []


# Kubernetes, KServe, Knative


def test_a_cluster_without_kserve_is_told_where_to_get_it() -> None:
    groups = {"serving.knative.dev": ["v1"]}
    finding = one(found(needs("dev"), groups=groups), "KServe")
    assert finding.found == "no such API"
    assert finding.needed == "serving.kserve.io/v1beta1"
    assert "https://kserve.github.io" in finding.remedy


def test_a_kserve_that_serves_other_versions_says_which() -> None:
    groups = {**GROUPS, "serving.kserve.io": ["v1alpha2"]}
    finding = one(found(needs("dev"), groups=groups), "KServe")
    assert finding.found == "its API only in v1alpha2"


def test_a_cluster_without_knative_serves_in_mode_standard() -> None:
    groups = {"serving.kserve.io": ["v1beta1"]}
    finding = one(found(needs("dev"), groups=groups), "Knative Serving")
    assert "serving.mode: Standard" in finding.remedy
    standard = {"serving.mode": "Standard"}
    assert found(needs("dev", standard), {FactKind.KNATIVE_CONFIG: []}, groups=groups) == []


def test_mode_standard_scales_only_where_pods_are_measured() -> None:
    standard = needs("dev", {"serving.mode": "Standard", "replicas": {"max": 2}})
    one(found(standard), "Metrics of pods", Severity.WARNING)
    assert found(standard, groups={**GROUPS, "metrics.k8s.io": ["v1beta1"]}) == []
    assert found(needs("dev", {"serving.mode": "Standard"})) == []


def test_a_kserve_that_does_not_know_the_modes_is_an_error() -> None:
    old = {FactKind.KSERVE: [deployment("kserve-controller-manager", "", "kserve/it:v0.15.2")]}
    finding = one(found(needs("dev"), old), "KServe")
    assert finding.found == "0.15"
    assert "0.16 or newer" in finding.needed


def test_a_knative_that_was_never_tried_is_a_warning() -> None:
    names = ("activator", "autoscaler", "controller", "webhook")
    old = {FactKind.KNATIVE: [deployment(name, "1.16.3") for name in names]}
    one(found(needs("dev"), old), "Knative Serving", Severity.WARNING)


def test_an_old_kubernetes_is_a_warning() -> None:
    finding = one(found(needs("dev"), version="v1.29.1-gke.3"), "Kubernetes", Severity.WARNING)
    assert finding.found == "v1.29.1-gke.3"


def test_images_by_digest_tell_no_version() -> None:
    there = {FactKind.KSERVE: [deployment("kserve-controller-manager", "devel")]}
    assert found(needs("dev"), there) == []


def test_a_controller_that_is_scaled_to_0_is_told_how_to_start() -> None:
    stopped = deployment("kserve-controller-manager", "")
    stopped = {**stopped, "spec": {**stopped["spec"], "replicas": 0}, "status": {}}
    finding = one(
        found(needs("dev"), {FactKind.KSERVE: [stopped]}), "KServe's kserve-controller-manager"
    )
    assert "`kubectl --namespace somewhere scale deployment" in finding.remedy


def test_a_webhook_that_does_not_answer_is_found() -> None:
    said = 'Internal error occurred: failed calling webhook "it": no endpoints available'
    finding = one(found(needs("dev"), refusals={"KServe": said}), "KServe's webhook")
    assert finding.found == f"no answer: {said}"


def test_what_a_webhook_refuses_is_told_in_its_words() -> None:
    finding = one(
        found(needs("dev"), refusals={"KServe": "unknown field spec.x"}), "KServe's webhook"
    )
    assert finding.found == "a refusal: unknown field spec.x"
    assert found(needs("dev"), refusals={"Knative Serving": "no such image"}) == [], (
        "what it was asked about is not what KServe makes"
    )


# Knative's settings


def test_knative_without_its_flags_lacks_exactly_those_that_the_stack_needs() -> None:
    nothing = {FactKind.KNATIVE_CONFIG: [config_map("config-features", None)]}
    on_cpu = {each.what.removeprefix("Knative's ") for each in found(needs("dev"), nothing)}
    assert on_cpu == {
        "kubernetes.podspec-persistent-volume-claim",
        "kubernetes.podspec-securitycontext",
    }, "emptyDir is on by default, and the server's volume is read-only"
    on_gpu = {each.what.removeprefix("Knative's ") for each in found(needs("prod"), nothing)}
    assert on_gpu - on_cpu == {
        "kubernetes.podspec-affinity",
        "kubernetes.podspec-persistent-volume-write",
        "kubernetes.podspec-tolerations",
    }, "what it compiles stays on the volume"


def test_a_missing_flag_has_the_command_that_sets_it() -> None:
    flag = "kubernetes.podspec-securitycontext"
    flags = {"kubernetes.podspec-persistent-volume-claim": "enabled"}
    finding = one(
        found(needs("dev"), {FactKind.KNATIVE_CONFIG: [config_map("config-features", flags)]}),
        f"Knative's {flag}",
    )
    assert finding.found == "disabled, the default"
    assert finding.remedy == (
        "`kubectl --namespace knative-serving patch configmap config-features --type merge "
        '--patch \'{"data": {"kubernetes.podspec-securitycontext": "enabled"}}\'`'
    )


def test_allowed_is_enough_for_fields_but_not_for_volumes() -> None:
    flags = {
        "kubernetes.podspec-persistent-volume-claim": "Allowed",
        "kubernetes.podspec-securitycontext": "Allowed",
    }
    objects = {FactKind.KNATIVE_CONFIG: [config_map("config-features", flags)]}
    one(found(needs("dev"), objects), "Knative's kubernetes.podspec-persistent-volume-claim")


def test_limits_of_knative_are_kept() -> None:
    wanted = needs("prod")
    flags = {
        f"kubernetes.podspec-{each}": "enabled"
        for each in (
            "affinity",
            "persistent-volume-claim",
            "persistent-volume-write",
            "securitycontext",
            "tolerations",
        )
    }
    limits = {"max-revision-timeout-seconds": "300", "container-concurrency-max-limit": "10"}
    maps = [
        config_map("config-features", flags),
        config_map("config-defaults", limits),
        config_map("config-autoscaler", {"max-scale-limit": "2"}),
    ]
    findings = found(wanted, {FactKind.KNATIVE_CONFIG: maps})
    assert {each.what: each.needed for each in findings} == {
        "Knative's max-revision-timeout-seconds": "at least 600 seconds for a request",
        "Knative's container-concurrency-max-limit": "at least 16 requests at once",
        "Knative's max-scale-limit": "at least 8 replicas",
    }


def test_scaling_to_zero_that_is_switched_off_is_a_warning() -> None:
    wanted = needs("dev", {"replicas": {"min": 0}})
    maps = [
        config_map(
            "config-features",
            {
                "kubernetes.podspec-persistent-volume-claim": "enabled",
                "kubernetes.podspec-securitycontext": "enabled",
            },
        ),
        config_map("config-autoscaler", {"enable-scale-to-zero": "false"}),
    ]
    findings = found(wanted, {FactKind.KNATIVE_CONFIG: maps})
    one(findings, "Knative's enable-scale-to-zero", Severity.WARNING)


# Permissions


def test_missing_permissions_are_told_by_kind() -> None:
    wanted = needs("dev")
    denied = [
        it
        for it in permissions(wanted.config)
        if it.resource in ("inferenceservices", "namespaces")
    ]
    findings = found(wanted, denied=denied)
    assert {each.what: each.found for each in findings} == {
        "Permission for inferenceservices.serving.kserve.io in namespace ft-serving": (
            "not allowed to create, delete, get, list, patch, watch"
        ),
        "Permission for namespaces": "not allowed to create, get, patch",
    }


def test_what_may_not_be_read_is_said_and_not_judged() -> None:
    hidden = dict.fromkeys(
        (FactKind.NODES, FactKind.PODS, FactKind.KNATIVE_CONFIG, FactKind.STORAGE_CLASSES)
    )
    finding = one(found(needs("prod"), {**hidden}), "Reading the cluster", Severity.WARNING)
    assert finding.found == (
        "not allowed to read nodes, pods of all namespaces, storage classes, Knative's ConfigMaps"
    )


# Registries


def test_a_registry_that_does_not_answer_keeps_images_from_being_pushed() -> None:
    silent = RegistryAnswer(reached=False, reason="Connection refused")
    finding = one(found(needs("dev"), registry=silent), "Registry localhost:5000")
    assert finding.found == "no answer from here: Connection refused"
    existing = {f"image.{each}": {"existing": DIGEST} for each in ("server", "weights", "client")}
    findings = found(needs("dev", existing), registry=silent)
    one(findings, "Registry localhost:5000", Severity.WARNING)


def test_a_login_that_is_refused_is_told_without_the_password() -> None:
    wanted = needs("dev", {"image.username": "someone"})
    refused = RegistryAnswer(reached=True, refused=True, reason="it answers 401")
    finding = one(found(wanted, registry=refused), "Login at registry localhost:5000")
    assert finding.found == "user someone refused: it answers 401"
    assert "pulumi config set --secret registryPassword" in finding.remedy


def test_an_image_that_does_not_exist_is_an_error_one_that_cannot_be_asked_for_is_not() -> None:
    missing = {DIGEST: RegistryAnswer(reached=True, missing=True)}
    one(found(needs("dev"), images=missing), f"Image {DIGEST}")
    private = {DIGEST: RegistryAnswer(reached=True, refused=True)}
    assert found(needs("dev"), images=private) == [], "nodes may have credentials of their own"
    silent = {DIGEST: RegistryAnswer(reached=False, reason="it")}
    one(found(needs("dev"), images=silent), f"Image {DIGEST}", Severity.WARNING)


def test_errors_come_before_warnings() -> None:
    objects = {FactKind.NODES: [node()], FactKind.STORAGE_CLASSES: [storage_class("other")]}
    findings = found(needs("prod"), objects, version="v1.20.1")
    assert [each.severity.value for each in findings] == ["error", "warning"]
