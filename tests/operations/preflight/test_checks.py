"""Each lack of a cluster is found, with a remedy, and a sound cluster has none."""

import pytest

from components.labels import labels
from ft_serving.preflight import Finding, Kind, RegistryAnswer, Severity
from tests.operations.preflight.cluster import (
    GROUPS,
    OWN,
    Document,
    changed,
    config_map,
    deployment,
    found,
    gpu_node,
    needs,
    node,
    pod,
    storage_class,
)
from tests.stacks.documents import DIGEST, SHIPPED

# Each GPU stack with what makes the sound cluster's nodes its own.
ON_NVIDIA = {"scheduling.region": None, "scheduling.nodeLabels": "nvidia"}
CORE_WEAVE = {**ON_NVIDIA, "scheduling.tolerations": [{"key": "nvidia.com/gpu"}]}


def one(findings: list[Finding], what: str, severity: Severity = Severity.ERROR) -> Finding:
    """The only finding, which is about `what`."""
    assert [each.what for each in findings] == [what]
    assert findings[0].severity is severity
    return findings[0]


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
    assert finding.found == "its API in v1alpha2 alone"


def test_a_cluster_without_knative_serves_in_mode_standard() -> None:
    groups = {"serving.kserve.io": ["v1beta1"]}
    finding = one(found(needs("dev"), groups=groups), "Knative Serving")
    assert "serving.mode: Standard" in finding.remedy
    standard = {"serving.mode": "Standard"}
    assert found(needs("dev", standard), {Kind.KNATIVE_CONFIG: []}, groups=groups) == []


def test_mode_standard_scales_only_where_pods_are_measured() -> None:
    standard = needs("dev", {"serving.mode": "Standard", "replicas": {"max": 2}})
    one(found(standard), "Metrics of pods", Severity.WARNING)
    assert found(standard, groups={**GROUPS, "metrics.k8s.io": ["v1beta1"]}) == []
    assert found(needs("dev", {"serving.mode": "Standard"})) == []


def test_a_kserve_that_does_not_know_the_modes_is_an_error() -> None:
    old = {Kind.KSERVE: [deployment("kserve-controller-manager", "", "kserve/it:v0.15.2")]}
    finding = one(found(needs("dev"), old), "KServe")
    assert finding.found == "0.15"
    assert "0.16 or newer" in finding.needed


def test_a_knative_that_was_never_tried_is_a_warning() -> None:
    names = ("activator", "autoscaler", "controller", "webhook")
    old = {Kind.KNATIVE: [deployment(name, "1.16.3") for name in names]}
    one(found(needs("dev"), old), "Knative Serving", Severity.WARNING)


def test_an_old_kubernetes_is_a_warning() -> None:
    finding = one(found(needs("dev"), version="v1.29.1-gke.3"), "Kubernetes", Severity.WARNING)
    assert finding.found == "v1.29.1-gke.3"


def test_images_by_digest_tell_no_version() -> None:
    there = {Kind.KSERVE: [deployment("kserve-controller-manager", "devel")]}
    assert found(needs("dev"), there) == []


def test_a_controller_that_is_scaled_to_0_is_told_how_to_start() -> None:
    stopped = deployment("kserve-controller-manager", "")
    stopped = {**stopped, "spec": {**stopped["spec"], "replicas": 0}, "status": {}}
    finding = one(
        found(needs("dev"), {Kind.KSERVE: [stopped]}), "KServe's kserve-controller-manager"
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
    nothing = {Kind.KNATIVE_CONFIG: [config_map("config-features", None)]}
    on_cpu = {each.what.removeprefix("Knative's ") for each in found(needs("dev"), nothing)}
    assert on_cpu == {
        "kubernetes.podspec-persistent-volume-claim",
        "kubernetes.podspec-securitycontext",
    }, "emptyDir is on by default, and the server's volume is read-only"
    on_gpu = {each.what.removeprefix("Knative's ") for each in found(needs("prod"), nothing)}
    assert on_gpu - on_cpu == {"kubernetes.podspec-affinity", "kubernetes.podspec-tolerations"}


def test_a_missing_flag_has_the_command_that_sets_it() -> None:
    flag = "kubernetes.podspec-securitycontext"
    flags = {"kubernetes.podspec-persistent-volume-claim": "enabled"}
    finding = one(
        found(needs("dev"), {Kind.KNATIVE_CONFIG: [config_map("config-features", flags)]}),
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
    objects = {Kind.KNATIVE_CONFIG: [config_map("config-features", flags)]}
    one(found(needs("dev"), objects), "Knative's kubernetes.podspec-persistent-volume-claim")


def test_limits_of_knative_are_kept() -> None:
    wanted = needs("prod")
    flags = {
        f"kubernetes.podspec-{each}": "enabled"
        for each in ("affinity", "persistent-volume-claim", "securitycontext", "tolerations")
    }
    limits = {"max-revision-timeout-seconds": "300", "container-concurrency-max-limit": "10"}
    maps = [
        config_map("config-features", flags),
        config_map("config-defaults", limits),
        config_map("config-autoscaler", {"max-scale-limit": "2"}),
    ]
    findings = found(wanted, {Kind.KNATIVE_CONFIG: maps})
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
    findings = found(wanted, {Kind.KNATIVE_CONFIG: maps})
    one(findings, "Knative's enable-scale-to-zero", Severity.WARNING)


# Nodes


def test_a_gpu_stack_on_nodes_without_gpus_is_told_which_label_is_missing() -> None:
    finding = one(found(needs("prod"), {Kind.NODES: [node()]}), "Node labels")
    assert finding.found == "1 node(s), with nvidia.com/gpu.product: none"
    assert "NVIDIA-RTX-A5000" in finding.needed
    assert "cluster.preflight: warn" in finding.remedy


def test_taints_that_are_not_tolerated_are_named() -> None:
    wanted = needs("staging", {"scheduling.tolerations": []})
    finding = one(found(wanted), "Taints of nodes")
    assert finding.found.startswith("nvidia.com/gpu=present:NoSchedule on all 4")
    assert finding.remedy == "Set scheduling.tolerations: - key: nvidia.com/gpu"


@pytest.mark.parametrize(
    ("toleration", "tolerates"),
    [
        ({"key": "nvidia.com/gpu"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Equal", "value": "other"}, False),
        ({"key": "nvidia.com/gpu", "effect": "NoExecute"}, False),
        ({"key": "other"}, False),
    ],
)
def test_tolerations_match_as_the_scheduler_has_them(toleration: Document, tolerates: bool) -> None:
    findings = found(needs("staging", {"scheduling.tolerations": [toleration]}))
    assert (findings == []) is tolerates


def test_a_taint_that_only_asks_to_stay_away_keeps_nobody() -> None:
    soft = node(taints=[{"key": "it", "effect": "PreferNoSchedule"}])
    assert found(needs("dev"), {Kind.NODES: [soft]}) == []


def test_nodes_that_are_too_small_for_one_replica_are_an_error() -> None:
    finding = one(found(needs("prod"), {Kind.NODES: [gpu_node(gpus=2)]}), "Nodes")
    assert "2 nvidia.com/gpu" in finding.found
    assert "4 nvidia.com/gpu" in finding.needed


def test_too_few_gpus_for_the_fewest_replicas_are_an_error_for_the_most_a_warning() -> None:
    nodes = {Kind.NODES: [gpu_node("gpu-1"), gpu_node("gpu-2")]}
    finding = one(found(needs("prod"), nodes), "Nodes", Severity.WARNING)
    assert finding.found == "room for 4 replica(s)"
    assert finding.needed.startswith("8 ")
    one(found(needs("prod", {"replicas.min": 5}), nodes), "Nodes")


def test_a_rollout_that_has_no_spare_gpu_is_a_warning_unless_the_stack_says_so() -> None:
    nodes = {Kind.NODES: [gpu_node(gpus=1)]}
    assert found(needs("staging"), nodes) == [], "it says spareGpu: false"
    one(found(needs("staging", {"scheduling.spareGpu": True}), nodes), "Nodes", Severity.WARNING)


def test_gpus_that_others_hold_are_an_error_and_the_stacks_own_are_free() -> None:
    objects = {Kind.NODES: [gpu_node(gpus=1)]}
    theirs = pod("other", "gpu-1", nvidia="1")
    finding = one(found(needs("staging"), {**objects, Kind.PODS: [theirs]}), "Room on nodes")
    assert "0 nvidia.com/gpu" in finding.found
    own = pod("ft-serving", "gpu-1", labels=labels("server"), nvidia="1")
    assert found(needs("staging"), {**objects, Kind.PODS: [own]}) == []


def test_cores_that_others_hold_now_are_a_warning() -> None:
    objects = {Kind.NODES: [node(cpu="2")], Kind.PODS: [pod("other", "node-1", cpu="1900m")]}
    one(found(needs("dev"), objects), "Room on nodes", Severity.WARNING)


# The namespace


def test_a_namespace_that_goes_is_an_error() -> None:
    going = {"metadata": {"name": "ft-serving", "labels": OWN, "deletionTimestamp": "2026-01-01"}}
    one(found(needs("dev"), {Kind.NAMESPACE: [going]}), "Namespace ft-serving")


def test_a_namespace_of_others_is_warned_of_its_new_level() -> None:
    key = "pod-security.kubernetes.io/enforce"
    theirs = {"metadata": {"name": "ft-serving", "labels": {key: "privileged"}}}
    what = "Pod Security of namespace ft-serving"
    finding = one(found(needs("dev"), {Kind.NAMESPACE: [theirs]}), what, Severity.WARNING)
    assert finding.found == f"{key}=privileged"
    assert found(needs("dev"), {Kind.NAMESPACE: [changed(theirs, labels=OWN)]}) == []


def test_an_inference_service_made_by_hand_is_not_taken_over() -> None:
    by_hand = {"metadata": {"name": "fastertransformer-triton", "labels": {}}}
    what = "InferenceService fastertransformer-triton in namespace ft-serving"
    finding = one(found(needs("dev"), {Kind.SERVICE: [by_hand]}), what)
    assert "delete inferenceservice fastertransformer-triton`" in finding.remedy
    assert found(needs("dev"), {Kind.SERVICE: [changed(by_hand, labels=OWN)]}) == []


def quota(hard: Document, used: Document) -> Document:
    return {"metadata": {"name": "q"}, "spec": {}, "status": {"hard": hard, "used": used}}


def test_a_quota_without_room_says_what_is_left() -> None:
    full = quota({"requests.memory": "1Gi"}, {"requests.memory": "512Mi"})
    finding = one(found(needs("dev"), {Kind.QUOTAS: [full]}), "Quota q of namespace ft-serving")
    assert finding.found == "0.5Gi of 1Gi requests.memory left"


def test_a_quota_counts_what_the_stack_itself_uses_as_free() -> None:
    full = quota({"requests.cpu": "1", "pods": "2"}, {"requests.cpu": "1", "pods": "2"})
    assert [each.found for each in found(needs("dev"), {Kind.QUOTAS: [full]})] == [
        "0 of 1 requests.cpu left",
        "0 of 2 pods left",
    ]
    own = [
        pod("ft-serving", "node-1", labels=labels(part), cpu="500m") for part in ("server", "gate")
    ]
    assert found(needs("dev"), {Kind.QUOTAS: [full], Kind.PODS: own}) == []


def test_a_claim_that_is_there_needs_no_quota() -> None:
    full = quota({"persistentvolumeclaims": "1"}, {"persistentvolumeclaims": "1"})
    one(found(needs("dev"), {Kind.QUOTAS: [full]}), "Quota q of namespace ft-serving")
    assert found(needs("dev"), {Kind.QUOTAS: [full], Kind.CLAIM: [claim()]}) == []


# The volume


def claim(
    size: str = "1Gi", mode: str = "ReadWriteMany", of_class: str = "ft-serving-shared"
) -> Document:
    requests = {"requests": {"storage": size}}
    spec = {"accessModes": [mode], "storageClassName": of_class, "resources": requests}
    return {"metadata": {"name": "ft-serving-models", "labels": OWN}, "spec": spec}


def test_a_class_that_is_not_there_is_told_beside_those_that_are() -> None:
    objects = {Kind.STORAGE_CLASSES: [storage_class("fast"), storage_class("slow")]}
    finding = one(found(needs("dev"), objects), "StorageClass ft-serving-shared")
    assert finding.found == "no such class; there are: fast, slow"


def test_without_a_default_class_one_has_to_be_named() -> None:
    plain = changed(storage_class("fast"), annotations={})
    one(found(needs("prod"), {Kind.STORAGE_CLASSES: [plain]}), "The default StorageClass")


def test_a_class_of_disks_gives_no_shared_volume() -> None:
    disks = {Kind.STORAGE_CLASSES: [storage_class("gp3", "ebs.csi.aws.com")]}
    finding = one(found(needs("staging"), disks), "StorageClass gp3")
    assert "ebs.csi.aws.com" in finding.found
    assert found(needs("staging", {"storage.accessMode": "ReadWriteOnce"}), disks) == []


def test_a_class_whose_volumes_do_not_grow_is_a_warning() -> None:
    fixed = {**storage_class(), "allowVolumeExpansion": False}
    one(
        found(needs("prod"), {Kind.STORAGE_CLASSES: [fixed]}),
        "StorageClass shared",
        Severity.WARNING,
    )


@pytest.mark.parametrize(
    ("there", "remedy"),
    [
        (claim(mode="ReadWriteOnce"), "Set storage.accessMode: ReadWriteOnce, or delete it"),
        (claim(of_class="other"), "Set storage.storageClass: other, or delete it"),
        (claim(size="2Gi"), "Set storage.size: 2Gi, or delete it"),
    ],
)
def test_a_claim_that_is_there_has_to_be_like_the_stacks(there: Document, remedy: str) -> None:
    what = "PersistentVolumeClaim ft-serving-models in namespace ft-serving"
    finding = one(found(needs("dev"), {Kind.CLAIM: [there]}), what)
    assert finding.remedy.startswith(remedy)


def test_a_claim_that_is_there_grows_only_where_its_class_lets_it() -> None:
    fixed = {**storage_class("ft-serving-shared"), "allowVolumeExpansion": False}
    objects = {Kind.CLAIM: [claim()], Kind.STORAGE_CLASSES: [fixed]}
    assert found(needs("dev"), objects) == []
    larger = needs("dev", {"storage.size": "3Gi"})
    assert found(larger, {Kind.CLAIM: [claim()]}) == []
    one(found(larger, objects), "PersistentVolumeClaim ft-serving-models in namespace ft-serving")


# Permissions


def test_missing_permissions_are_told_by_kind() -> None:
    wanted = needs("dev")
    denied = [it for it in wanted.permissions if it.resource in ("inferenceservices", "namespaces")]
    findings = found(wanted, denied=denied)
    assert {each.what: each.found for each in findings} == {
        "Permission for inferenceservices.serving.kserve.io in namespace ft-serving": (
            "not allowed to create, delete, get, list, patch, watch"
        ),
        "Permission for namespaces": "not allowed to create, get, patch",
    }


def test_what_may_not_be_read_is_said_and_not_judged() -> None:
    hidden = dict.fromkeys((Kind.NODES, Kind.PODS, Kind.KNATIVE_CONFIG, Kind.STORAGE_CLASSES))
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
    objects = {Kind.NODES: [node()], Kind.STORAGE_CLASSES: [storage_class("other")]}
    findings = found(needs("prod"), objects, version="v1.20.1")
    assert [each.severity.value for each in findings] == ["error", "warning"]
