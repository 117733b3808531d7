"""A report tells the state of a deployment as a whole, with its Jobs, on one screen."""

import copy
import dataclasses
import io
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from ft_serving.cluster.diagnosis import Cause, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.report import Report, Standing, report
from ft_serving.cluster.diagnosis.report.model import JobPhase
from ft_serving.cluster.diagnosis.report.screen import WIDTH, show
from ft_serving.cluster.job_labels import ROLE, SERVICE, JobRole, release_annotations
from ft_serving.core.dtypes import DType
from ft_serving.core.release import ReleaseSpec
from tests.cluster.diagnosis.recorded_snapshots import changed, names, recorded

RELEASE = ReleaseSpec(
    repository="EleutherAI/gpt-j-6b",
    revision="6e35e2148e92edf096e94d39ac2b98",
    dtype=DType.FP16,
    compute_dtype=DType.BF16,
    tensor_parallel=4,
    pipeline_parallel=1,
    streaming=True,
    input_length=None,
    output_length=None,
)
DOWNLOAD = "model-download-c04f2e644410"
COMPLETE = {"type": "Complete", "status": "True"}
FAILED = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "exit code"}
LATER = "2026-11-23T16:41:00Z"
LINES = 40


def job(
    name: str,
    condition: Mapping[str, str] | None = None,
    created: str = "2026-11-23T16:40:00Z",
    *,
    role: JobRole | None = JobRole.DOWNLOAD,
    asks: str = "",
) -> dict[str, Any]:
    """A Job with the labels that the program gives it."""
    annotations = release_annotations(
        RELEASE, computed_in="fp8", tensor_parallel=4, pipeline_parallel=1
    )
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "creationTimestamp": created,
            "labels": {ROLE: role.label if role else "other", **({SERVICE: asks} if asks else {})},
            "annotations": annotations if role is JobRole.DOWNLOAD else {},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "it"}]}}},
        "status": {"conditions": [condition] if condition else []},
    }


def smoke_test(condition: Mapping[str, str], name: str = "sound", **options: Any) -> dict[str, Any]:
    return job("smoke-test-0", condition, role=JobRole.SMOKE_TEST, asks=name, **options)


def pod_of(job: Mapping[str, Any], said: str = "") -> dict[str, Any]:
    """Its pod, with a termination message."""
    name = job["metadata"]["name"]
    state = {"terminated": {"exitCode": 1, "message": said}} if said else {"running": {}}
    return {
        "metadata": {
            "name": f"{name}-x2x4z",
            "creationTimestamp": job["metadata"]["creationTimestamp"],
            "labels": {
                "batch.kubernetes.io/job-name": name,
                "batch.kubernetes.io/controller-uid": job["metadata"]["uid"],
            },
        },
        "spec": {"containers": [{"name": "it"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "it", "ready": False, "state": state}],
        },
    }


def with_jobs(
    *jobs: dict[str, Any], said: str = "", service: bool = True
) -> tuple[NamespaceSnapshot, datetime]:
    """A sound deployment with Jobs beside it, whose pods ended with a message or run."""
    snapshot, now = recorded("sound")
    pods: list[Any] = [*snapshot.all(Kind.PODS), *(pod_of(each, said) for each in jobs)]
    kinds: dict[str, list[Any]] = {"jobs": list(jobs), "pods": pods}
    return changed(snapshot, **kinds, **({} if service else {"inference_services": []})), now


def told(*jobs: dict[str, Any], said: str = "", service: bool = True) -> Report:
    return report(*with_jobs(*jobs, said=said, service=service))


def screen(found: Report, **options: Any) -> str:
    out = io.StringIO()
    show(found, Console(file=out, **options))
    return out.getvalue()


def test_a_sound_deployment_is_ready_and_told_whole() -> None:
    found = report(*recorded("sound"))
    assert (found.standing, found.serving, found.reason) == (Standing.READY, True, "")
    assert found.url == "http://sound-predictor.gate-sound.localhost"
    assert found.image == "localhost:5000/ft-serving/server-cpu:try"
    assert found.replicas == (1, 1)
    (revision,) = found.revisions
    assert (revision.wanted, revision.running, revision.ready) == (1, 1, 1)
    assert revision.state == "ready"
    (pod,) = found.pods
    assert (pod.state, pod.node, pod.restarts, pod.last_end) == ("Running", "ft-serving", 0, None)
    (claim,) = found.claims
    assert (claim.phase, claim.size, claim.access_modes) == ("Bound", "1Gi", ("ReadWriteMany",))


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("gpu", Cause.UNSCHEDULABLE),
        ("standard-quota", Cause.QUOTA),
        ("oom", Cause.MEMORY),
        ("weights-altered", Cause.MODEL),
        ("class", Cause.CLAIM),
    ],
)
def test_a_failure_has_its_cause_at_the_first_look(name: str, cause: Cause) -> None:
    snapshot, now = recorded(name)
    found = report(dataclasses.replace(snapshot, begun=now), now)
    assert (found.standing, found.cause) == (Standing.FAILED, cause)
    assert found.next_steps


def test_a_change_of_a_moment_ago_is_given_time() -> None:
    snapshot, now = recorded("gpu")
    stamp = (now - timedelta(seconds=2)).isoformat()
    written = {"time": stamp, "manager": "pulumi", "fieldsV1": {"f:spec": {}}}
    snapshot.all(Kind.INFERENCE_SERVICES)[0]["metadata"]["managedFields"] = [written]
    assert report(snapshot, now).standing is Standing.ON_ITS_WAY
    written["fieldsV1"] = {"f:status": {}}
    assert report(snapshot, now).standing is Standing.FAILED, "a status changes all the time"


def test_a_failed_rollout_says_that_the_revision_before_still_answers() -> None:
    snapshot, now = recorded("starting-rollout")
    snapshot.all(Kind.KNATIVE_SERVICES)[0]["status"]["traffic"] = [
        {"revisionName": "starting-predictor-00001", "percent": 100, "latestRevision": False},
        {"tag": "next", "revisionName": "starting-predictor-00002"},
    ]
    found = report(snapshot, now)
    assert (found.standing, found.serving) == (Standing.FAILED, True)
    assert [each.name[-5:] for each in found.revisions] == ["00002", "00001"]
    assert [each.ready for each in found.revisions] == [0, 1]
    assert [each.traffic for each in found.revisions] == [0, 100]


def test_a_replica_that_breaks_after_ready_is_a_failure() -> None:
    snapshot, now = recorded("weights-altered")
    status = snapshot.all(Kind.INFERENCE_SERVICES)[0]["status"]
    predictor = status["components"]["predictor"]
    predictor["latestReadyRevision"] = predictor["latestCreatedRevision"]
    revision = snapshot.all(Kind.REVISIONS)[-1]["status"]
    for each in (*status["conditions"], *revision["conditions"]):
        each["status"] = "True"
    revision["desiredReplicas"] = 1
    found = report(snapshot, now)
    assert (found.standing, found.cause) == (Standing.FAILED, Cause.MODEL), "READY is of yesterday"
    assert not found.serving


def test_replicas_that_are_added_do_not_make_a_service_less_ready() -> None:
    snapshot, now = recorded("sound")
    snapshot.all(Kind.REVISIONS)[0]["status"]["desiredReplicas"] = 2
    assert report(snapshot, now).standing is Standing.READY
    found = report(changed(snapshot, pods=[]), now)
    assert (found.standing, found.serving) == (Standing.ON_ITS_WAY, False)


def test_scaled_to_zero_is_sound() -> None:
    snapshot, now = recorded("sound")
    status = snapshot.all(Kind.REVISIONS)[0]["status"]
    status |= {"desiredReplicas": 0, "actualReplicas": 0}
    for each in status["conditions"]:
        if each["type"] == "Active":
            each |= {"status": "False", "reason": "NoTraffic"}
    found = report(changed(snapshot, pods=[]), now)
    assert found.standing is Standing.SCALED_TO_ZERO
    assert [(each.wanted, each.state) for each in found.revisions] == [(0, "idle")]


def test_the_release_is_described_by_the_job_that_prepared_it() -> None:
    snapshot, now = with_jobs(job(DOWNLOAD, COMPLETE))
    container = snapshot.specs()[0]["containers"][0]
    container["args"] = [f"--model-repository=/mnt/models/triton-model-store/{RELEASE.name}"]
    found = report(snapshot, now).release
    assert found is not None
    assert found.name == RELEASE.name
    assert found.model == "EleutherAI/gpt-j-6b@6e35e2148e92edf096e94d39ac2b98"
    assert (found.dtype, found.compute_dtype, found.streaming) == ("fp16", "fp8", True)
    assert (found.tensor_parallel, found.pipeline_parallel) == (4, 1)
    assert "fp16 weights, computed in fp8, tensor parallel 4, str" in screen(report(snapshot, now))
    container["args"] = ["--model-repository=/mnt/models/triton-model-store/another"]
    found = report(snapshot, now).release
    assert found is not None
    assert (found.name, found.model) == ("another", None), "the Job is about another release"


def test_a_download_that_failed_is_the_cause_of_a_missing_service() -> None:
    found = told(job(DOWNLOAD, FAILED), said="Error: The hub answers 401", service=False)
    assert (found.standing, found.cause) == (Standing.FAILED, Cause.JOB)
    assert found.reason == f"Job {DOWNLOAD} (model download) failed: Error: The hub answers 401"
    assert (found.url, found.replicas, found.release) == (None, None, None)


def test_a_download_that_runs_is_on_its_way_with_its_last_line() -> None:
    snapshot, now = with_jobs(job(DOWNLOAD), service=False)
    logs = {(f"{DOWNLOAD}-x2x4z", "it"): "weights  1 GiB of 23 GiB  4%\n/mnt/models/release\n"}
    found = report(dataclasses.replace(snapshot, logs=logs), now)
    assert found.standing is Standing.ON_ITS_WAY
    assert found.reason.endswith("(model download) runs: weights  1 GiB of 23 GiB  4%")
    assert any(f"logs --follow job/{DOWNLOAD}" in step for step in found.next_steps)


def test_a_ready_service_that_gave_a_wrong_answer_has_failed() -> None:
    found = told(smoke_test(FAILED), said="Error: The service is ready and gives a wrong answer")
    assert (found.standing, found.serving) == (Standing.FAILED, True), "READY is not right"
    assert "gives a wrong answer" in found.reason


GATE = job("gate", FAILED, role=JobRole.DOWNLOAD_GATE)


@pytest.mark.parametrize(
    ("jobs", "standing"),
    [
        ([smoke_test(FAILED, created="2026-11-23T16:00:00Z")], Standing.READY),
        ([smoke_test(FAILED, "another")], Standing.READY),
        ([GATE], Standing.FAILED),
        ([GATE, job(DOWNLOAD, COMPLETE, LATER)], Standing.READY),
        ([job("backup", FAILED, role=None)], Standing.READY),
        ([job("model-download-2", COMPLETE, LATER), job(DOWNLOAD, FAILED)], Standing.READY),
    ],
)
def test_jobs_of_others_and_of_a_state_before_say_nothing(
    jobs: list[dict[str, Any]], standing: Standing
) -> None:
    assert told(*jobs).standing is standing


def test_jobs_are_told_by_role_in_the_order_in_which_they_run() -> None:
    collection = job("release-collection-0", COMPLETE, LATER, role=JobRole.COLLECTION)
    found = told(collection, smoke_test(COMPLETE), job(DOWNLOAD, COMPLETE))
    assert [(each.role, each.name, each.phase) for each in found.jobs] == [
        (JobRole.DOWNLOAD, DOWNLOAD, JobPhase.SUCCEEDED),
        (JobRole.SMOKE_TEST, "smoke-test-0", JobPhase.SUCCEEDED),
        (JobRole.COLLECTION, "release-collection-0", JobPhase.SUCCEEDED),
    ]
    assert f"model download {DOWNLOAD}, " in screen(found)


def test_nothing_at_all_is_missing() -> None:
    found = told(service=False)
    assert (found.standing, found.cause) == (Standing.FAILED, Cause.MISSING)
    assert "There is no InferenceService sound in namespace gate-sound" in found.reason


def test_warnings_are_told_once_and_only_about_the_deployment() -> None:
    snapshot, now = recorded("image-tag")
    stranger: Any = copy.deepcopy(snapshot.all(Kind.EVENTS)[0])
    stranger |= {"type": "Warning", "message": "not ours"}
    stranger["involvedObject"] = {"kind": "Pod", "name": "someone-elses"}
    found = report(changed(snapshot, events=[*snapshot.all(Kind.EVENTS), stranger]), now).warnings
    assert len({(each.about, each.reason, each.message) for each in found}) == len(found)
    assert [each.last for each in found] == sorted((each.last for each in found), reverse=True)
    assert not any("not ours" in each.message for each in found)
    assert any(each.count > 1 for each in found)


@pytest.mark.parametrize("name", names())
def test_every_recorded_state_fits_one_screen(name: str) -> None:
    lines = screen(report(*recorded(name))).splitlines()
    assert len(lines) <= LINES
    steps = next(index for index, line in enumerate(lines) if line.startswith("next "))
    assert max(map(len, lines[:steps])) <= WIDTH
    assert not any(line != line.rstrip() for line in lines), "a log keeps what nobody sees"
    assert "\x1b" not in "".join(lines), "a log is no terminal"


def test_a_command_is_not_broken_into_lines() -> None:
    lines = screen(report(*recorded("weights-altered"))).splitlines()
    (command,) = [line for line in lines if "kubectl" in line]
    assert command.endswith("--container kserve-container --previous")


def test_digests_are_shortened_but_for_programs() -> None:
    digest = "0123456789ab" + "c" * 52
    reason = f"Image host/it@sha256:{digest} cannot be pulled"
    found = dataclasses.replace(report(*recorded("image-digest-host")), reason=reason)
    assert "  Image host/it@sha256:0123456789ab… cannot be pulled\n" in screen(found)
