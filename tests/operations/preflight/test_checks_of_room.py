"""What is found of nodes, of the namespace and its quotas, and of the volume."""

import pytest

from components.cluster import labels
from operations.preflight.facts import FactKind, Severity
from tests.operations.preflight.cluster import (
    OWN,
    Document,
    changed,
    found,
    gpu_node,
    needs,
    node,
    one,
    pod,
    storage_class,
)

# Nodes


def test_a_gpu_stack_on_nodes_without_gpus_is_told_which_label_is_missing() -> None:
    finding = one(found(needs("prod"), {FactKind.NODES: [node()]}), "Node labels")
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
    assert found(needs("dev"), {FactKind.NODES: [soft]}) == []


def test_nodes_that_are_too_small_for_one_replica_are_an_error() -> None:
    finding = one(found(needs("prod"), {FactKind.NODES: [gpu_node(gpus=2)]}), "Nodes")
    assert "2 nvidia.com/gpu" in finding.found
    assert "4 nvidia.com/gpu" in finding.needed


def test_too_few_gpus_for_the_fewest_replicas_are_an_error_for_the_most_a_warning() -> None:
    nodes = {FactKind.NODES: [gpu_node("gpu-1"), gpu_node("gpu-2")]}
    finding = one(found(needs("prod"), nodes), "Nodes", Severity.WARNING)
    assert finding.found == "room for 4 replica(s)"
    assert finding.needed.startswith("8 ")
    one(found(needs("prod", {"replicas.min": 5}), nodes), "Nodes")


def test_a_rollout_that_has_no_spare_gpu_is_a_warning_unless_the_stack_says_so() -> None:
    nodes = {FactKind.NODES: [gpu_node(gpus=1)]}
    assert found(needs("staging"), nodes) == [], "it says spareGpu: false"
    one(found(needs("staging", {"scheduling.spareGpu": True}), nodes), "Nodes", Severity.WARNING)


def test_gpus_that_others_hold_are_an_error_and_the_stacks_own_are_free() -> None:
    objects = {FactKind.NODES: [gpu_node(gpus=1)]}
    theirs = pod("other", "gpu-1", nvidia="1")
    finding = one(found(needs("staging"), {**objects, FactKind.PODS: [theirs]}), "Room on nodes")
    assert "0 nvidia.com/gpu" in finding.found
    own = pod("ft-serving", "gpu-1", labels=labels("server"), nvidia="1")
    assert found(needs("staging"), {**objects, FactKind.PODS: [own]}) == []


def test_cores_that_others_hold_now_are_a_warning() -> None:
    objects = {
        FactKind.NODES: [node(cpu="2")],
        FactKind.PODS: [pod("other", "node-1", cpu="1900m")],
    }
    one(found(needs("dev"), objects), "Room on nodes", Severity.WARNING)


# The namespace


def test_a_namespace_that_goes_is_an_error() -> None:
    going = {"metadata": {"name": "ft-serving", "labels": OWN, "deletionTimestamp": "2026-01-01"}}
    one(found(needs("dev"), {FactKind.NAMESPACE: [going]}), "Namespace ft-serving")


def test_a_namespace_of_others_is_warned_of_its_new_level() -> None:
    key = "pod-security.kubernetes.io/enforce"
    theirs = {"metadata": {"name": "ft-serving", "labels": {key: "privileged"}}}
    what = "Pod Security of namespace ft-serving"
    finding = one(found(needs("dev"), {FactKind.NAMESPACE: [theirs]}), what, Severity.WARNING)
    assert finding.found == f"{key}=privileged"
    assert found(needs("dev"), {FactKind.NAMESPACE: [changed(theirs, labels=OWN)]}) == []


def test_an_inference_service_made_by_hand_is_not_taken_over() -> None:
    by_hand = {"metadata": {"name": "fastertransformer-triton", "labels": {}}}
    what = "InferenceService fastertransformer-triton in namespace ft-serving"
    finding = one(found(needs("dev"), {FactKind.SERVICE: [by_hand]}), what)
    assert "delete inferenceservice fastertransformer-triton`" in finding.remedy
    assert found(needs("dev"), {FactKind.SERVICE: [changed(by_hand, labels=OWN)]}) == []


def test_another_stacks_service_is_not_taken_over() -> None:
    service = {"metadata": {"name": "fastertransformer-triton", "labels": OWN}}
    theirs = {
        "metadata": {"name": "ft-serving", "labels": OWN}
        | {"annotations": {"ft-serving.dev/stack": "prod"}}
    }
    what = "InferenceService fastertransformer-triton in namespace ft-serving"
    finding = one(
        found(needs("dev"), {FactKind.SERVICE: [service], FactKind.NAMESPACE: [theirs]}), what
    )
    assert finding.found == "that of stack prod"
    assert "`kubectl annotate namespace ft-serving ft-serving.dev/stack-`" in finding.remedy
    assert found(needs("dev"), {FactKind.NAMESPACE: [theirs]}) == [], (
        "weights that a destroyed stack left are anyone's"
    )
    ours = changed(theirs, annotations={"ft-serving.dev/stack": "dev"})
    assert found(needs("dev"), {FactKind.SERVICE: [service], FactKind.NAMESPACE: [ours]}) == []


def quota(hard: Document, used: Document) -> Document:
    return {"metadata": {"name": "q"}, "spec": {}, "status": {"hard": hard, "used": used}}


def test_a_quota_without_room_says_what_is_left() -> None:
    full = quota({"requests.memory": "1Gi"}, {"requests.memory": "512Mi"})
    finding = one(found(needs("dev"), {FactKind.QUOTAS: [full]}), "Quota q of namespace ft-serving")
    assert finding.found == "0.5Gi of 1Gi requests.memory left"


def test_a_quota_counts_what_the_stack_itself_uses_as_free() -> None:
    full = quota({"requests.cpu": "1", "pods": "2"}, {"requests.cpu": "1", "pods": "2"})
    assert [each.found for each in found(needs("dev"), {FactKind.QUOTAS: [full]})] == [
        "0 of 1 requests.cpu left",
        "0 of 2 pods left",
    ]
    own = [
        pod("ft-serving", "node-1", labels=labels(part), cpu="500m") for part in ("server", "gate")
    ]
    assert found(needs("dev"), {FactKind.QUOTAS: [full], FactKind.PODS: own}) == []


def test_a_claim_that_is_there_needs_no_quota() -> None:
    full = quota({"persistentvolumeclaims": "1"}, {"persistentvolumeclaims": "1"})
    one(found(needs("dev"), {FactKind.QUOTAS: [full]}), "Quota q of namespace ft-serving")
    assert found(needs("dev"), {FactKind.QUOTAS: [full], FactKind.CLAIM: [claim()]}) == []


# The volume


def claim(
    size: str = "1Gi", mode: str = "ReadWriteMany", of_class: str = "ft-serving-shared"
) -> Document:
    requests = {"requests": {"storage": size}}
    spec = {"accessModes": [mode], "storageClassName": of_class, "resources": requests}
    return {"metadata": {"name": "ft-serving-models", "labels": OWN}, "spec": spec}


def test_a_class_that_is_not_there_is_told_beside_those_that_are() -> None:
    objects = {FactKind.STORAGE_CLASSES: [storage_class("fast"), storage_class("slow")]}
    finding = one(found(needs("dev"), objects), "StorageClass ft-serving-shared")
    assert finding.found == "no such class; there are: fast, slow"


def test_without_a_default_class_one_has_to_be_named() -> None:
    plain = changed(storage_class("fast"), annotations={})
    one(found(needs("prod"), {FactKind.STORAGE_CLASSES: [plain]}), "The default StorageClass")


def test_a_class_of_disks_gives_no_shared_volume() -> None:
    disks = {FactKind.STORAGE_CLASSES: [storage_class("gp3", "ebs.csi.aws.com")]}
    finding = one(found(needs("staging"), disks), "StorageClass gp3")
    assert "ebs.csi.aws.com" in finding.found
    assert found(needs("staging", {"storage.accessMode": "ReadWriteOnce"}), disks) == []


def test_a_class_whose_volumes_do_not_grow_is_a_warning() -> None:
    fixed = {**storage_class(), "allowVolumeExpansion": False}
    one(
        found(needs("prod"), {FactKind.STORAGE_CLASSES: [fixed]}),
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
    finding = one(found(needs("dev"), {FactKind.CLAIM: [there]}), what)
    assert finding.remedy.startswith(remedy)


def test_a_claim_that_is_there_grows_only_where_its_class_lets_it() -> None:
    fixed = {**storage_class("ft-serving-shared"), "allowVolumeExpansion": False}
    objects = {FactKind.CLAIM: [claim()], FactKind.STORAGE_CLASSES: [fixed]}
    assert found(needs("dev"), objects) == []
    larger = needs("dev", {"storage.size": "3Gi"})
    assert found(larger, {FactKind.CLAIM: [claim()]}) == []
    one(found(larger, objects), "PersistentVolumeClaim ft-serving-models in namespace ft-serving")
