"""Each lack of a cluster is found, with a remedy, and a sound cluster has none."""

from collections.abc import Mapping
from typing import Any

import pytest

from components.cluster import labels
from operations.preflight.facts import FactKind, RegistryAnswer
from operations.preflight.needs import permissions
from tests.fake_api import GROUPS
from tests.operations.preflight.cluster import (
    OWN,
    Document,
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

Objects = Mapping[FactKind, list[Document] | None]

E, W = "error", "warning"
STANDARD = {"serving.mode": "Standard"}
ONLY_KSERVE = {"serving.kserve.io": ["v1beta1"]}
CONTROLLER = "kserve-controller-manager"
STOPPED = {**deployment(CONTROLLER, ""), "spec": {"replicas": 0, "template": {"spec": {
    "containers": []}}}, "status": {}}  # fmt: skip
KNATIVE = ("activator", "autoscaler", "controller", "webhook")
WEBHOOK = 'Internal error occurred: failed calling webhook "it": no endpoints available'
CLAIMS = "kubernetes.podspec-persistent-volume-claim"
SECURITY = "kubernetes.podspec-securitycontext"
LEVEL = "pod-security.kubernetes.io/enforce"
SERVICE_NAME = "fastertransformer-triton"
SERVICE = f"InferenceService {SERVICE_NAME} in namespace ft-serving"
CLAIM = "PersistentVolumeClaim ft-serving-models in namespace ft-serving"
QUOTA = "Quota q of namespace ft-serving"
TWO_NODES = [gpu_node("gpu-1"), gpu_node("gpu-2")]
SILENT = RegistryAnswer(reached=False, reason="Connection refused")
REFUSED = RegistryAnswer(reached=True, refused=True, reason="it answers 401")
EXISTING = {
    f"image.{each}": {"existing": DIGEST} for each in ("server", "weights", "client", "openai")
}


def meta(name: str, own: Mapping[str, str] = OWN, **more: Any) -> Document:
    return {"metadata": {"name": name, "labels": dict(own), **more}}


def flags(**values: str) -> list[Document]:
    return [config_map("config-features", {CLAIMS: "enabled", SECURITY: "enabled", **values})]


def quota(hard: Document, used: Document) -> list[Document]:
    return [{"metadata": {"name": "q"}, "spec": {}, "status": {"hard": hard, "used": used}}]


def claim(
    size: str = "1Gi", mode: str = "ReadWriteMany", of_class: str = "ft-serving-shared"
) -> list[Document]:
    requests = {"requests": {"storage": size}}
    spec = {"accessModes": [mode], "storageClassName": of_class, "resources": requests}
    return [{**meta("ft-serving-models"), "spec": spec}]


def fixed(name: str) -> list[Document]:
    return [{**storage_class(name), "allowVolumeExpansion": False}]


def stack_of(name: str) -> list[Document]:
    return [meta("ft-serving", annotations={"ft-serving.dev/stack": name})]


ON_PLATFORM: list[tuple[str, Document, Objects, Document, str, str, list[str]]] = [
    # Kubernetes, KServe, Knative
    ("dev", {}, {}, {"groups": {"serving.knative.dev": ["v1"]}}, E, "KServe",
     ["no such API; needed serving.kserve.io/v1beta1", "https://kserve.github.io"]),
    ("dev", {}, {}, {"groups": {**GROUPS, "serving.kserve.io": ["v1alpha2"]}}, E, "KServe",
     ["its API only in v1alpha2"]),
    ("dev", {}, {}, {"groups": ONLY_KSERVE}, E, "Knative Serving",
     ["serving.mode: Standard"]),
    ("dev", {**STANDARD, "replicas": {"max": 2}}, {}, {}, W, "Metrics of pods", []),
    ("dev", {}, {FactKind.KSERVE: [deployment(CONTROLLER, "", "kserve/it:v0.15.2")]}, {}, E,
     "KServe", ["found 0.15; needed 0.16 or newer"]),
    ("dev", {}, {FactKind.KNATIVE: [deployment(name, "1.16.3") for name in KNATIVE]}, {}, W,
     "Knative Serving", ["found 1.16"]),
    ("dev", {}, {FactKind.KNATIVE: [deployment(name, "1.21.0") for name in KNATIVE[1:]]}, {}, W,
     "Knative Serving's activator", ["no Deployment of that name"]),
    ("dev", {}, {}, {"version": "v1.29.1-gke.3"}, W, "Kubernetes", ["found v1.29.1-gke.3"]),
    ("dev", {}, {FactKind.KSERVE: [STOPPED]}, {}, E, f"KServe's {CONTROLLER}",
     ["found scaled to 0", "`kubectl --namespace somewhere scale deployment"]),
    ("dev", {}, {FactKind.KSERVE: [{**deployment(CONTROLLER, ""), "status": {}}]}, {}, E,
     f"KServe's {CONTROLLER}", ["no pod available"]),
    ("dev", {}, {}, {"refusals": {"KServe": WEBHOOK}}, E, "KServe's webhook", ["no answer: Int"]),
    ("dev", {}, {}, {"refusals": {"KServe": "unknown field"}}, E, "KServe's webhook",
     ["a refusal: unknown field"]),
    # Knative's settings
    ("dev", {}, {FactKind.KNATIVE_CONFIG: flags(**{CLAIMS: "Allowed"})}, {}, E,
     f"Knative's {CLAIMS}", ["found Allowed; needed enabled, for the volume models"]),
    ("dev", {"replicas": {"min": 0}}, {FactKind.KNATIVE_CONFIG: [*flags(), config_map(
        "config-autoscaler", {"enable-scale-to-zero": "false"})]}, {}, W,
     "Knative's enable-scale-to-zero", []),
    # Registries
    ("dev", {}, {}, {"registry": SILENT}, E, "Registry localhost:5000",
     ["no answer from here: Connection refused"]),
    ("dev", EXISTING, {}, {"registry": SILENT}, W, "Registry localhost:5000", []),
    ("dev", {"image.username": "someone"}, {}, {"registry": REFUSED}, E,
     "Login at registry localhost:5000",
     ["user someone refused: it answers 401", "pulumi config set --secret registryPassword"]),
    ("dev", {}, {}, {"images": {DIGEST: RegistryAnswer(reached=True, missing=True)}}, E,
     f"Image {DIGEST}", []),
    ("dev", {}, {}, {"images": {DIGEST: SILENT}}, W, f"Image {DIGEST}", []),
    ("prod", {}, dict.fromkeys((FactKind.NODES, FactKind.PODS, FactKind.KNATIVE_CONFIG)), {}, W,
     "Reading the cluster", ["read nodes, pods of all namespaces, Knative's ConfigMaps"]),
]  # fmt: skip
OF_ROOM: list[tuple[str, Document, Objects, Document, str, str, list[str]]] = [
    # Nodes
    ("prod", {}, {FactKind.NODES: [node()]}, {}, E, "Node labels",
     ["found 1 node(s), with nvidia.com/gpu.product: none", "NVIDIA-RTX-A5000",
      "cluster.preflight: warn"]),
    ("staging", {"scheduling.tolerations": []}, {}, {}, E, "Taints of nodes",
     ["nvidia.com/gpu=present:NoSchedule on all 4", "tolerations: - key: nvidia.com/gpu"]),
    ("prod", {}, {FactKind.NODES: [gpu_node(gpus=2)]}, {}, E, "Nodes",
     ["2 nvidia.com/gpu; needed", "4 nvidia.com/gpu. Lower"]),
    ("prod", {}, {FactKind.NODES: TWO_NODES}, {}, W, "Nodes",
     ["found room for 4 replica(s); needed 8 "]),
    ("prod", {"replicas.min": 5}, {FactKind.NODES: TWO_NODES}, {}, E, "Nodes", []),
    ("staging", {"scheduling.spareGpu": True}, {FactKind.NODES: [gpu_node(gpus=1)]}, {}, W,
     "Nodes", []),
    ("staging", {}, {FactKind.NODES: [gpu_node(gpus=1)], FactKind.PODS: [pod("other", "gpu-1",
     nvidia="1")]}, {}, E, "Room on nodes", ["0 nvidia.com/gpu"]),
    ("dev", {}, {FactKind.NODES: [node(cpu="2")], FactKind.PODS: [pod("other", "node-1",
     cpu="1900m")]}, {}, W, "Room on nodes", []),
    # The namespace
    ("dev", {}, {FactKind.NAMESPACE: [meta("ft-serving", deletionTimestamp="2026")]}, {}, E,
     "Namespace ft-serving", []),
    ("dev", {}, {FactKind.NAMESPACE: [meta("ft-serving", {LEVEL: "privileged"})]}, {}, W,
     "Pod Security of namespace ft-serving", [f"found {LEVEL}=privileged"]),
    ("dev", {}, {FactKind.SERVICE: [meta(SERVICE_NAME, {})]}, {}, E, SERVICE,
     [f"delete inferenceservice {SERVICE_NAME}`"]),
    ("dev", {}, {FactKind.SERVICE: [meta(SERVICE_NAME)], FactKind.NAMESPACE: stack_of("prod")}, {},
     E, SERVICE, ["one of stack prod", "annotate namespace ft-serving ft-serving.dev/stack-`"]),
    # Its quotas
    ("dev", {}, {FactKind.QUOTAS: quota({"requests.memory": "1Gi"}, {"requests.memory": "512Mi"})},
     {}, E, QUOTA, ["0.5Gi of 1Gi requests.memory left"]),
    ("dev", {}, {FactKind.QUOTAS: quota({"pods": "2"}, {"pods": "2"})}, {}, E, QUOTA,
     ["0 of 2 pods left; needed 3, for 1 replica(s)"]),
    ("dev", {}, {FactKind.QUOTAS: quota({"persistentvolumeclaims": "0"}, {})}, {}, E, QUOTA, []),
    # The volume
    ("dev", {}, {FactKind.STORAGE_CLASSES: [storage_class("fast"), storage_class("slow")]}, {}, E,
     "StorageClass ft-serving-shared", ["no such class; there are: fast, slow"]),
    ("prod", {}, {FactKind.STORAGE_CLASSES: [{**storage_class("fast"), **meta("fast")}]}, {}, E,
     "The default StorageClass", []),
    ("staging", {}, {FactKind.STORAGE_CLASSES: [storage_class("gp3", "ebs.csi.aws.com")]}, {}, E,
     "StorageClass gp3", ["ebs.csi.aws.com"]),
    ("prod", {}, {FactKind.STORAGE_CLASSES: fixed("it")}, {}, W, "StorageClass it", []),
    ("dev", {}, {FactKind.CLAIM: claim(mode="ReadWriteOnce")}, {}, E, CLAIM,
     ["Set storage.accessMode: ReadWriteOnce, or delete it"]),
    ("dev", {}, {FactKind.CLAIM: claim(of_class="other")}, {}, E, CLAIM,
     ["Set storage.storageClass: other, or delete it"]),
    ("dev", {}, {FactKind.CLAIM: claim(size="2Gi")}, {}, E, CLAIM,
     ["cannot shrink", "Set storage.size: 2Gi, or delete it"]),
    ("dev", {"storage.size": "3Gi"}, {FactKind.CLAIM: claim(),
     FactKind.STORAGE_CLASSES: fixed("ft-serving-shared")}, {}, E, CLAIM, ["do not grow"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stack", "changes", "objects", "facts", "severity", "what", "phrases"),
    [*ON_PLATFORM, *OF_ROOM],
)
def test_each_lack_is_found_and_nothing_else(
    stack: str,
    changes: Document,
    objects: Objects,
    facts: Document,
    severity: str,
    what: str,
    phrases: list[str],
) -> None:
    (finding,) = found(needs(stack, changes), objects, **facts)
    assert (finding.severity.value, finding.what) == (severity, what)
    for phrase in phrases:
        assert phrase in str(finding)


CORE_WEAVE = {
    "scheduling.region": None,
    "scheduling.nodeLabels": "nvidia",
    "scheduling.tolerations": [{"key": "nvidia.com/gpu"}],
}
"""The settings by which the sound cluster's nodes are those of the stack."""


@pytest.mark.parametrize("stack", SHIPPED)
def test_a_sound_cluster_lacks_nothing(stack: str) -> None:
    assert found(needs(stack, CORE_WEAVE if stack == "coreweave" else None)) == []


OWN_GPU = pod("ft-serving", "gpu-1", labels=labels("server"), nvidia="1")
OWN_CPU = [
    pod("ft-serving", "node-1", labels=labels(it), cpu="500m")
    for it in ("server", "openai", "gate")
]
SOUND: list[tuple[str, Document, Objects, Document]] = [
    ("dev", STANDARD, {FactKind.KNATIVE_CONFIG: []}, {"groups": ONLY_KSERVE}),
    ("dev", {**STANDARD, "replicas": {"max": 2}}, {}, {"groups": {**GROUPS, "metrics.k8s.io": []}}),
    # An image by its digest tells no version.
    ("dev", {}, {FactKind.KSERVE: [deployment(CONTROLLER, "devel")]}, {}),
    # Knative was asked about a stand-in for what KServe makes.
    ("dev", {}, {}, {"refusals": {"Knative Serving": "no such image"}}),
    ("dev", {}, {FactKind.KNATIVE_CONFIG: flags(**{SECURITY: "Allowed"})}, {}),
    # Nodes may have credentials of their own.
    ("dev", {}, {}, {"images": {DIGEST: REFUSED}}),
    # A taint that only asks to stay away.
    ("dev", {}, {FactKind.NODES: [node(taints=[{"key": "it", "effect": "PreferNoSchedule"}])]}, {}),
    # It says spareGpu: false.
    ("staging", {}, {FactKind.NODES: [gpu_node(gpus=1)], FactKind.PODS: [OWN_GPU]}, {}),
    ("dev", {}, {FactKind.NAMESPACE: [meta("ft-serving", {**OWN, LEVEL: "privileged"})]}, {}),
    # Weights that a destroyed stack left are anyone's.
    ("dev", {}, {FactKind.NAMESPACE: stack_of("prod")}, {}),
    ("dev", {}, {FactKind.SERVICE: [meta(SERVICE_NAME)], FactKind.NAMESPACE: stack_of("dev")}, {}),
    # The stack's own pods end before the next ones start.
    ("dev", {}, {FactKind.QUOTAS: quota({"requests.cpu": "1", "pods": "3"}, {"requests.cpu": "1",
     "pods": "3"}), FactKind.PODS: OWN_CPU}, {}),
    ("dev", {}, {FactKind.QUOTAS: quota({"persistentvolumeclaims": "0"}, {}),
     FactKind.CLAIM: claim()}, {}),
    ("staging", {"storage.accessMode": "ReadWriteOnce"}, {FactKind.STORAGE_CLASSES: [
        storage_class("gp3", "ebs.csi.aws.com")]}, {}),
    ("dev", {}, {FactKind.CLAIM: claim(), FactKind.STORAGE_CLASSES: fixed("ft-serving-shared")},
     {}),
    ("dev", {"storage.size": "3Gi"}, {FactKind.CLAIM: claim()}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("stack", "changes", "objects", "facts"), SOUND)
def test_a_cluster_that_is_good_enough_lacks_nothing(
    stack: str, changes: Document, objects: Objects, facts: Document
) -> None:
    assert found(needs(stack, changes), objects, **facts) == []


def test_knative_without_its_flags_lacks_exactly_those_that_the_stack_needs() -> None:
    nothing: Objects = {FactKind.KNATIVE_CONFIG: [config_map("config-features", None)]}
    on_cpu = {each.what.rpartition("-")[2]: each for each in found(needs("dev"), nothing)}
    assert on_cpu.keys() == {"claim", "securitycontext"}, "emptyDir is on by default"
    assert on_cpu["securitycontext"].remedy == (
        "`kubectl --namespace knative-serving patch configmap config-features --type merge "
        '--patch \'{"data": {"kubernetes.podspec-securitycontext": "enabled"}}\'`'
    )
    on_gpu = {each.what.rpartition("-")[2] for each in found(needs("prod"), nothing)}
    assert on_gpu - on_cpu.keys() == {"affinity", "write", "tolerations"}, (
        "code that vLLM compiles stays on the volume"
    )


def test_limits_of_knative_are_kept() -> None:
    wanted = needs("prod")
    limits = {"max-revision-timeout-seconds": "300", "container-concurrency-max-limit": "10"}
    maps = [
        config_map("config-defaults", limits),
        config_map("config-autoscaler", {"max-scale-limit": "2"}),
    ]
    findings = found(wanted, {FactKind.KNATIVE_CONFIG: maps})
    assert {each.what: each.needed for each in findings if "podspec" not in each.what} == {
        "Knative's max-revision-timeout-seconds": "at least 600 seconds for a request",
        "Knative's container-concurrency-max-limit": "at least 16 requests at once",
        "Knative's max-scale-limit": "at least 8 replicas",
    }


def test_missing_permissions_are_told_by_kind_and_before_warnings() -> None:
    wanted = needs("dev")
    kinds = ("inferenceservices", "namespaces")
    denied = [it for it in permissions(wanted.config) if it.resource in kinds]
    findings = found(wanted, version="v1.20.1", denied=denied)
    assert {each.what: each.found for each in findings} == {
        "Permission for inferenceservices.serving.kserve.io in namespace ft-serving": (
            "not allowed to create, delete, get, list, patch, watch"
        ),
        "Permission for namespaces": "not allowed to create, get, patch",
        "Kubernetes": "v1.20.1",
    }
    assert [each.severity.value for each in findings] == [E, E, W]


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
def test_tolerations_match_in_the_schedulers_way(toleration: Document, tolerates: bool) -> None:
    findings = found(needs("staging", {"scheduling.tolerations": [toleration]}))
    assert (findings == []) is tolerates
