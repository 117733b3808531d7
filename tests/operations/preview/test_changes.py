"""Each kind of change of a stack's settings does what the preview says."""

from dataclasses import replace
from typing import Any

import pytest

from operations.preview.compare import Action, Resource, compare
from operations.preview.summary import StackSummary
from operations.preview.warnings import warnings
from tests.operations.preview.states import claim, in_text, previewed, resources, summary_with
from tests.stacks.documents import config, shipped

IMAGE = f"registry.example.com/other@sha256:{'12' * 32}"
SERVICE = "fastertransformer-triton"
COMPILED = {"serving.engine": "fastertransformer", "image.server": {"existing": IMAGE}}
"""By NVIDIA's backend."""
PRICES = {"cost.gpuHour": {"RTX_A5000": 0.5, "A40": 1.28}}


def actions(summary: StackSummary) -> list[str]:
    return [f"{it.action} {it.resource.kind} {it.resource.name}" for it in summary.changes]


def row(summary: StackSummary) -> list[str]:
    """The GPUs and the cost in the table."""
    header, line = in_text(summary)[:2]
    starts = [header.index(it) for it in ("GPUs", "cost")]
    return [line[starts[0] : starts[1]].strip(), line[starts[1] :].strip()]


def test_without_a_change_nothing_is_said() -> None:
    summary = previewed("dev", {})
    assert summary.changes == ()
    assert in_text(summary)[1].split()[:3] == ["dev", "no", "change"]
    assert len(in_text(summary)) == 4
    assert row(summary) == ["none", "none"], "the stack runs on CPUs"


def test_another_image_and_replicas_touch_the_service_and_its_test() -> None:
    head = {"image.server": {"existing": IMAGE}, "replicas.max": 16, "replicas.min": 2}
    summary = previewed("prod", {**head, **PRICES}, {})
    assert actions(summary) == [
        "delete Image server",
        "replace Job smoke-test",
        "update InferenceService inference-service",
    ], "the gravest come first"
    assert summary.warnings == ()
    lines = in_text(summary)
    assert any(line.endswith(f'→ "{IMAGE}"') for line in lines)
    assert "      spec.predictor.maxReplicas: 8 → 16" in lines
    assert row(summary) == [
        "4 to 32 RTX_A5000 → 8 to 64 RTX_A5000",
        "2.00 to 16.00 USD → 4.00 to 32.00 USD",
    ]


def test_another_gpu_is_priced_by_its_own_price() -> None:
    summary = previewed("coreweave", {"gpu.type": "A40"})
    assert row(summary) == ["1 RTX_A5000 → 1 A40", "0.77 USD → no price of A40 in `cost.gpuHour`"]
    priced = replace(summary, prices=config(shipped("coreweave"), PRICES).cost)
    assert row(priced)[1] == "0.50 USD → 1.28 USD"


def test_another_tensor_parallelism_of_vllm_is_the_same_release() -> None:
    summary = previewed("prod", {"gpu.tensorParallel": 2, "scheduling.nodeLabels": "none"})
    assert actions(summary) == [
        "replace Job smoke-test",
        "update InferenceService inference-service",
        "update Job model-download",
    ], "only the download's annotations change, so that it does not run again"
    assert summary.after.gpus == (2, 16)
    assert summary.after.gpu == "RTX_A5000", "nodes without labels have the configured GPU"


def test_another_parallelism_of_fastertransformer_is_another_release() -> None:
    parallel = {"gpu.tensorParallel": 2, "gpu.pipelineParallel": 4}
    summary = previewed("prod", {**COMPILED, **parallel}, COMPILED)
    replaced = {it.resource.name for it in summary.changes if it.action is Action.REPLACE}
    assert replaced >= {"model-download", "model-download-gate", "smoke-test"}
    assert "update InferenceService inference-service" in actions(summary)
    assert summary.warnings == (), "releases lie beside each other"
    assert any("--tensor-parallel=4" in line and "=2" in line for line in in_text(summary))
    assert (summary.before.gpus, summary.after.gpus) == ((4, 32), (8, 64))


def test_a_service_without_a_spare_gpu_is_down_for_a_while() -> None:
    (warning,) = previewed("staging", {"replicas.max": 2}).warnings
    assert warning.startswith(
        f"InferenceService `{SERVICE}` would be replaced (`spec.predictor.maxReplicas`). DOWNTIME"
    )


def test_another_mode_replaces_the_service() -> None:
    changes = {"serving.mode": "Standard", "replicas.scaleMetric": "cpu"}
    (warning,) = previewed("prod", {**changes, "coldStart.budgetSeconds": 600}).warnings
    assert "DOWNTIME: the old service ends before the new one starts" in warning


def test_another_namespace_or_cluster_leaves_everything_behind() -> None:
    summary = previewed("prod", {"cluster.namespace": "elsewhere", "cluster.context": "other"})
    kinds = {it.resource.kind for it in summary.changes if it.action is Action.REPLACE}
    assert kinds >= {"Namespace", "PersistentVolumeClaim", "InferenceService"}
    assert len(summary.warnings) == 4
    assert summary.warnings[-1].startswith("`context` would change. If that is another cluster")


def test_a_new_stack_is_created_without_danger_and_one_that_goes_is_deleted() -> None:
    there = resources("prod")
    assert {it.action for it in compare((), there)} == {Action.CREATE}
    assert warnings(compare((), there)) == ()
    gone = compare(there, ())
    assert {it.action for it in gone} == {Action.DELETE}
    assert len(warnings(gone)) == 3, "the claim, the service, the namespace"


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({"protect": True}, "`pulumi up` refuses it while `storage.protect` is true."),
        ({"retain": True}, "Pulumi forgets the old one, which stays in the cluster."),
        ({}, "The weights on it are deleted."),
    ],
)
def test_a_claim_of_another_class_is_data_lost(options: dict[str, Any], end: str) -> None:
    (warning,) = warnings(compare([claim(**options)], [claim(storage_class="new", **options)]))
    assert warning == (
        "PersistentVolumeClaim `models` would be replaced (`spec.storageClassName`). DATA LOSS, "
        f"the new volume is empty. {end}"
    )


def test_a_larger_claim_grows_in_place_and_a_smaller_one_is_refused() -> None:
    (change,) = larger = compare([claim()], [claim(size="3Gi")])
    assert (change.action, warnings(larger)) == (Action.UPDATE, ())
    (warning,) = warnings(compare([claim()], [claim(size="1Gi")]))
    assert "would be smaller: 2Gi to 1Gi. Kubernetes refuses that" in warning


def test_a_kubeconfigs_text_is_never_shown() -> None:
    texts = ("a", "users:\n- token: hunter2\n")
    before, after = (
        Resource(type="pulumi:providers:kubernetes", name="it", inputs={"kubeconfig": text})
        for text in texts
    )
    lines = in_text(summary_with(compare([before], [after])))
    assert '      kubeconfig: "a" → [secret]' in lines
    assert "hunter2" not in "\n".join(lines)
