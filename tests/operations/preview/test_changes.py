"""What each kind of change of a stack's settings is said to do."""

from typing import Any

import pytest

from operations.preview.compare import Action, Resource, compare
from operations.preview.summary import StackSummary
from operations.preview.warnings import warnings
from tests.operations.preview.states import in_text, previewed, resources

IMAGE = f"registry.example.com/other@sha256:{'12' * 32}"
SERVICE = "fastertransformer-triton"
COMPILED = {"serving.engine": "fastertransformer", "image.server": {"existing": IMAGE}}
"""By NVIDIA's backend."""


def actions(summary: StackSummary, *, but: tuple[str, ...] = ("Job",)) -> list[str]:
    return [
        f"{it.action} {it.resource.kind} {it.resource.object_name}"
        for it in summary.changes
        if it.resource.kind not in but
    ]


def row(summary: StackSummary) -> list[str]:
    header, line = in_text(summary)[:2]
    starts = [header.index(it) for it in ("create", "GPUs", "cost")]
    return [line[starts[1] : starts[2]].strip(), line[starts[2] :].strip()]


def test_no_change_is_no_change() -> None:
    summary = previewed("prod", {})
    assert summary.changes == ()
    assert in_text(summary)[1].split()[:3] == ["prod", "no", "change"]
    assert len(in_text(summary)) == 4


def test_another_image_alone_touches_the_service_and_its_test() -> None:
    summary = previewed("prod", {"image.server": {"existing": IMAGE}})
    assert actions(summary, but=()) == [
        "delete Image server",
        "replace Job smoke-test-" + names(summary, "smoke-test")[0].removeprefix("smoke-test-"),
        f"update InferenceService {SERVICE}",
    ]
    assert summary.warnings == ()
    assert any(line.endswith(f'→ "{IMAGE}"') for line in in_text(summary))


def names(summary: StackSummary, logical: str) -> list[str]:
    return [it.resource.object_name for it in summary.changes if it.resource.name == logical]


def test_replicas_touch_the_service_and_count_gpus_and_cost() -> None:
    price = {"cost.gpuHour.RTX_A5000": 0.5}
    summary = previewed("prod", {"replicas.max": 16, "replicas.min": 2, **price})
    assert actions(summary) == [f"update InferenceService {SERVICE}"]
    assert summary.warnings == ()
    assert row(summary) == [
        "4 to 32 RTX_A5000 → 8 to 64 RTX_A5000",
        "2.00 to 16.00 USD → 4.00 to 32.00 USD",
    ]
    assert "      spec.predictor.maxReplicas: 8 → 16" in in_text(summary)


def test_another_gpu_is_priced_by_its_own_price() -> None:
    prices = {"cost.gpuHour": {"RTX_A5000": 0.77, "A40": 1.28}}
    summary = previewed("coreweave", {"gpu.type": "A40", **prices})
    assert row(summary) == ["1 RTX_A5000 → 1 A40", "0.77 USD → 1.28 USD"]


def test_a_gpu_without_a_price_is_named() -> None:
    summary = previewed("coreweave", {"gpu.type": "A40"})
    assert row(summary)[1] == "0.77 USD → no price of A40 in `cost.gpuHour`"


def test_gpus_are_counted_by_both_parallelisms() -> None:
    summary = previewed("prod", {**COMPILED, "gpu.tensorParallel": 2, "gpu.pipelineParallel": 4})
    assert summary.after.gpus == (8, 64)
    assert summary.before.gpus == (4, 32)


def test_nodes_without_labels_have_the_configured_gpu() -> None:
    summary = previewed("prod", {"scheduling.nodeLabels": "none"})
    assert summary.after.gpu == "RTX_A5000"


def test_a_stack_on_cpus_has_no_gpus_and_costs_none() -> None:
    assert row(previewed("dev", {})) == ["none", "none"]


def test_another_tensor_parallelism_of_vllm_is_the_same_release() -> None:
    summary = previewed("prod", {"gpu.tensorParallel": 2})
    assert {it.resource.name: it.action for it in summary.changes} == {
        "inference-service": Action.UPDATE,
        "model-download": Action.UPDATE,
        "smoke-test": Action.REPLACE,
    }, "the download's annotations alone change, and it does not run again"


def test_another_tensor_parallelism_of_fastertransformer_is_another_release() -> None:
    summary = previewed("prod", {**COMPILED, "gpu.tensorParallel": 2}, COMPILED)
    replaced = {it.resource.name for it in summary.changes if it.action is Action.REPLACE}
    assert replaced >= {"model-download", "model-download-gate", "smoke-test"}
    assert actions(summary) == [f"update InferenceService {SERVICE}"]
    assert summary.warnings == (), "releases lie beside each other"
    assert any("--tensor-parallel=4" in line and "=2" in line for line in in_text(summary))


@pytest.mark.parametrize(
    "change", [{"storage.storageClass": "fast"}, {"storage.accessMode": "ReadWriteOnce"}]
)
def test_a_claim_of_another_class_or_mode_is_data_lost(change: dict[str, Any]) -> None:
    unprotected = {"storage.protect": False, "scheduling.spareGpu": False}
    gone = {**unprotected, "storage.deleteWeightsOnDestroy": True}
    path = "spec.storageClassName" if "storage.storageClass" in change else "spec.accessModes[0]"
    begin = f"PersistentVolumeClaim `ft-serving-models` would be replaced (`{path}`). DATA LOSS"
    for base, end in (
        ({}, "`pulumi up` refuses it while `storage.protect` is true."),
        (unprotected, "Pulumi forgets the old one, which stays in the cluster."),
        (gone, "The weights on it are deleted."),
    ):
        (warning,) = previewed("staging", {**base, **change}, base).warnings
        assert warning.startswith(begin)
        assert warning.endswith(end)


def test_a_larger_claim_grows_in_place_and_a_smaller_one_is_refused() -> None:
    larger = previewed("prod", {"storage.size": "300Gi"})
    assert actions(larger) == ["update PersistentVolumeClaim ft-serving-models"]
    assert larger.warnings == ()
    (warning,) = previewed("prod", {"storage.size": "100Gi"}).warnings
    assert "would be smaller: 200Gi to 100Gi. Kubernetes refuses that" in warning


def test_a_service_without_a_spare_gpu_is_down_for_a_while() -> None:
    (warning,) = previewed("staging", {"replicas.max": 2}).warnings
    assert warning.startswith(
        f"InferenceService `{SERVICE}` would be replaced (`spec.predictor.maxReplicas`). DOWNTIME"
    )


def test_another_mode_replaces_the_service() -> None:
    changes = {"serving.mode": "Standard", "replicas.scaleMetric": "cpu"}
    budget = {"coldStart.budgetSeconds": 600}
    (warning,) = previewed("prod", {**budget, **changes}, budget).warnings
    assert "DOWNTIME: the old service ends before the new one starts" in warning


def test_another_namespace_leaves_everything_behind() -> None:
    summary = previewed("prod", {"cluster.namespace": "elsewhere"})
    kinds = {it.resource.kind for it in summary.changes if it.action is Action.REPLACE}
    assert kinds >= {"Namespace", "PersistentVolumeClaim", "InferenceService"}
    assert len(summary.warnings) == 3


def test_another_cluster_is_said_to_be_one() -> None:
    (warning,) = previewed("prod", {"cluster.context": "other"}).warnings
    assert warning.startswith("`context` would change. If that is another cluster")


def test_a_stack_that_is_new_is_created_and_one_that_goes_is_deleted() -> None:
    there = resources("prod")
    assert {it.action for it in compare((), there)} == {Action.CREATE}
    gone = compare(there, ())
    assert {it.action for it in gone} == {Action.DELETE}
    assert len(warnings(gone)) == 3, "the claim, the service, the namespace"


def test_a_new_stack_is_no_danger() -> None:
    assert warnings(compare((), resources("prod"))) == ()


def test_the_gravest_come_first() -> None:
    summary = previewed("prod", {"image.server": {"existing": IMAGE}, "storage.size": "300Gi"})
    order = [list(Action).index(it.action) for it in summary.changes]
    assert order == sorted(order)


def test_a_kubeconfigs_text_is_never_shown() -> None:
    def provider(text: str) -> Resource:
        return Resource(
            type="pulumi:providers:kubernetes", name="kubernetes", inputs={"kubeconfig": text}
        )

    changes = compare([provider("a")], [provider("users:\n- token: hunter2\n")])
    summary = StackSummary(stack="prod", changes=changes, warnings=warnings(changes))
    assert '      kubeconfig: "a" → [secret]' in in_text(summary)
    assert "hunter2" not in "\n".join(in_text(summary))
