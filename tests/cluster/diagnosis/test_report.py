"""A report tells how a deployment stands as a whole, with its Jobs, and what belongs to it."""

import copy
import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from ft_serving.cluster.diagnosis import Cause, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.report import Report, Standing, report
from ft_serving.cluster.diagnosis.report.model import JobPhase
from ft_serving.cluster.job_labels import ROLE, SERVICE, JobRole, release_annotations
from ft_serving.core.dtypes import DType
from ft_serving.core.release import ReleaseSpec
from tests.cluster.diagnosis.recorded_snapshots import changed, recorded

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


def job(
    name: str,
    created: str = "2026-11-23T16:40:00Z",
    *,
    role: JobRole | None = JobRole.DOWNLOAD,
    asks: str = "",
    condition: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A Job with the labels that the program gives it."""
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "creationTimestamp": created,
            "labels": {ROLE: role.label if role else "other", **({SERVICE: asks} if asks else {})},
            "annotations": _annotations() if role is JobRole.DOWNLOAD else {},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "it"}]}}},
        "status": {"conditions": [condition] if condition else []},
    }


def _annotations() -> dict[str, str]:
    return release_annotations(RELEASE, computed_in="fp8", tensor_parallel=4, pipeline_parallel=1)


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


def smoke_test(name: str = "sound", **options: Any) -> dict[str, Any]:
    return job("smoke-test-0", role=JobRole.SMOKE_TEST, asks=name, **options)


def with_jobs(
    recording: str, *jobs: dict[str, Any], said: str = "", service: bool = True
) -> tuple[NamespaceSnapshot, datetime]:
    """A recording with Jobs beside it whose pods ended with a message, or wrote a log."""
    snapshot, now = recorded(recording)
    pods: list[Any] = [*snapshot.all(Kind.PODS), *(pod_of(each, said) for each in jobs)]
    kinds: dict[str, list[Any]] = {"jobs": list(jobs), "pods": pods}
    if not service:
        kinds["inference_services"] = []
    return changed(snapshot, **kinds), now


def told(recording: str, *jobs: dict[str, Any], said: str = "", service: bool = True) -> Report:
    snapshot, now = with_jobs(recording, *jobs, said=said, service=service)
    return report(snapshot, now)


def test_a_sound_deployment_is_ready_and_told_whole() -> None:
    snapshot, now = recorded("sound")
    found = report(snapshot, now)
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
        ("standard-image", Cause.IMAGE),
        ("quota", Cause.QUOTA),
        ("oom", Cause.MEMORY),
        ("weights-altered", Cause.MODEL),
        ("class", Cause.CLAIM),
        ("pod-security", Cause.REFUSED),
    ],
)
def test_a_failure_has_its_cause_at_the_first_look(name: str, cause: Cause) -> None:
    snapshot, now = recorded(name)
    found = report(changed(snapshot), now)
    assert (found.standing, found.cause) == (Standing.FAILED, cause)
    assert found.next_steps
    just_begun = dataclasses.replace(snapshot, begun=now)
    assert report(just_begun, now).standing is Standing.FAILED, "nobody looks twice"


def test_what_was_changed_a_moment_ago_is_given_time() -> None:
    snapshot, now = recorded("gpu")
    service: Any = copy.deepcopy(snapshot.service())
    stamp = (now - timedelta(seconds=2)).isoformat()
    written = {"time": stamp, "manager": "pulumi", "fieldsV1": {"f:spec": {}}}
    service["metadata"]["managedFields"] = [written]
    found = report(changed(snapshot, inference_services=[service]), now)
    assert found.standing is Standing.ON_ITS_WAY, "it may be about the state before the change"
    written |= {"subresource": "status", "fieldsV1": {"f:status": {}}}
    found = report(changed(snapshot, inference_services=[service]), now)
    assert found.standing is Standing.FAILED, "a status changes all the time"


def test_a_start_is_on_its_way_and_says_what_is_waited_for() -> None:
    snapshot, now = recorded("starting-loading")
    found = report(snapshot, now)
    assert (found.standing, found.serving) == (Standing.ON_ITS_WAY, False)
    assert found.reason


def test_a_failed_rollout_says_that_the_revision_before_still_answers() -> None:
    snapshot, now = recorded("starting-rollout")
    found = report(snapshot, now)
    assert (found.standing, found.serving) == (Standing.FAILED, True)
    assert [each.name[-5:] for each in found.revisions] == ["00002", "00001"]
    assert [each.ready for each in found.revisions] == [0, 1]


def said_to_be_ready(recording: str) -> tuple[NamespaceSnapshot, datetime]:
    """A recording whose conditions say that all is well, as they do when a replica breaks later."""
    snapshot, now = recorded(recording)
    service: Any = copy.deepcopy(snapshot.service())
    for each in service["status"]["conditions"]:
        each["status"] = "True"
    predictor = service["status"]["components"]["predictor"]
    predictor["latestReadyRevision"] = predictor["latestCreatedRevision"]
    revisions: Any = copy.deepcopy([*snapshot.all(Kind.REVISIONS)])
    for each in revisions[-1]["status"]["conditions"]:
        each["status"] = "True"
    revisions[-1]["status"]["desiredReplicas"] = 1
    return changed(snapshot, inference_services=[service], revisions=revisions), now


def test_a_replica_that_breaks_after_ready_is_a_failure() -> None:
    found = report(*said_to_be_ready("weights-altered"))
    assert (found.standing, found.cause) == (Standing.FAILED, Cause.MODEL), "READY is of yesterday"
    assert not found.serving


def test_replicas_that_are_added_do_not_make_a_service_less_ready() -> None:
    snapshot, now = recorded("sound")
    revision: Any = copy.deepcopy(snapshot.all(Kind.REVISIONS)[0])
    revision["status"]["desiredReplicas"] = 2
    assert report(changed(snapshot, revisions=[revision]), now).standing is Standing.READY
    found = report(changed(snapshot, revisions=[revision], pods=[]), now)
    assert (found.standing, found.serving) == (Standing.ON_ITS_WAY, False)


def test_scaled_to_zero_is_sound() -> None:
    snapshot, now = recorded("sound")
    revision: Any = copy.deepcopy(snapshot.all(Kind.REVISIONS)[0])
    revision["status"] |= {"desiredReplicas": 0, "actualReplicas": 0}
    for each in revision["status"]["conditions"]:
        if each["type"] == "Active":
            each |= {"status": "False", "reason": "NoTraffic"}
    found = report(changed(snapshot, revisions=[revision], pods=[]), now)
    assert found.standing is Standing.SCALED_TO_ZERO
    assert [(each.wanted, each.state) for each in found.revisions] == [(0, "idle")]


def test_the_share_of_requests_is_told_where_knative_tells_it() -> None:
    snapshot, now = recorded("starting-rollout")
    service: Any = copy.deepcopy(snapshot.all(Kind.KNATIVE_SERVICES)[0])
    service["status"]["traffic"] = [
        {"revisionName": "starting-predictor-00001", "percent": 100, "latestRevision": False},
        {"tag": "next", "revisionName": "starting-predictor-00002"},
    ]
    found = report(changed(snapshot, knative_services=[service]), now)
    assert [each.traffic for each in found.revisions] == [0, 100]


def test_the_release_is_described_by_the_job_that_prepared_it() -> None:
    snapshot, now = with_jobs("sound", job(DOWNLOAD, condition=COMPLETE))
    service: Any = copy.deepcopy(snapshot.service())
    container = service["spec"]["predictor"]["containers"][0]
    container["args"] = [f"--model-repository=/mnt/models/triton-model-store/{RELEASE.name}"]
    found = report(changed(snapshot, inference_services=[service]), now).release
    assert found is not None
    assert found.name == RELEASE.name
    assert found.model == "EleutherAI/gpt-j-6b@6e35e2148e92edf096e94d39ac2b98"
    assert (found.dtype, found.compute_dtype, found.streaming) == ("fp16", "fp8", True)
    assert (found.tensor_parallel, found.pipeline_parallel) == (4, 1)

    container["args"] = ["--model-repository=/mnt/models/triton-model-store/another"]
    found = report(changed(snapshot, inference_services=[service]), now).release
    assert found is not None
    assert (found.name, found.model) == ("another", None), "the Job is about another release"


def test_a_download_that_failed_is_the_cause_of_a_missing_service() -> None:
    failed = job(DOWNLOAD, condition=FAILED)
    found = told("sound", failed, said="Error: The hub answers 401", service=False)
    assert (found.standing, found.cause) == (Standing.FAILED, Cause.JOB)
    assert found.reason == f"Job {DOWNLOAD} (model download) failed: Error: The hub answers 401"
    assert (found.url, found.replicas, found.release) == (None, None, None)


def test_a_download_that_runs_is_on_its_way_with_its_last_line() -> None:
    running = job(DOWNLOAD)
    snapshot, now = with_jobs("sound", running, service=False)
    logs = {(f"{DOWNLOAD}-x2x4z", "it"): "weights  1 GiB of 23 GiB  4%\n/mnt/models/release\n"}
    found = report(dataclasses.replace(snapshot, logs=logs), now)
    assert found.standing is Standing.ON_ITS_WAY
    assert found.reason.endswith("(model download) runs: weights  1 GiB of 23 GiB  4%")
    assert any(f"logs --follow job/{DOWNLOAD}" in step for step in found.next_steps)


def test_nothing_at_all_is_missing() -> None:
    found = told("sound", service=False)
    assert (found.standing, found.cause) == (Standing.FAILED, Cause.MISSING)
    assert "There is no InferenceService sound in namespace gate-sound" in found.reason


def test_a_ready_service_that_gave_a_wrong_answer_has_failed() -> None:
    failed = smoke_test(condition=FAILED)
    found = told("sound", failed, said="Error: The service is ready and gives a wrong answer")
    assert (found.standing, found.serving) == (Standing.FAILED, True), "READY is not right"
    assert "gives a wrong answer" in found.reason


def test_a_smoke_test_of_a_state_before_tells_nothing() -> None:
    early = "2026-11-23T16:00:00Z"
    assert told("sound", smoke_test(condition=FAILED, created=early)).standing is Standing.READY
    other = told("sound", smoke_test("another", condition=FAILED))
    assert (other.standing, other.jobs) == (Standing.READY, ())


def test_the_newest_job_of_a_role_counts() -> None:
    first = job(DOWNLOAD, condition=FAILED)
    second = job("model-download-2", "2026-11-23T16:41:00Z", condition=COMPLETE)
    found = told("sound", second, first)
    assert found.standing is Standing.READY
    (shown,) = found.jobs
    assert (shown.role, shown.name, shown.phase) == (
        JobRole.DOWNLOAD,
        "model-download-2",
        JobPhase.SUCCEEDED,
    )


def test_a_collection_of_releases_is_no_download() -> None:
    download = job(DOWNLOAD, condition=COMPLETE)
    collection = job(
        "release-collection-0",
        "2026-11-23T16:41:00Z",
        role=JobRole.COLLECTION,
        condition=COMPLETE,
    )
    found = told("sound", collection, download)
    assert [(each.role, each.name) for each in found.jobs] == [
        (JobRole.DOWNLOAD, DOWNLOAD),
        (JobRole.COLLECTION, "release-collection-0"),
    ]


def test_a_gate_of_a_download_before_tells_nothing() -> None:
    gate = job("gate", role=JobRole.DOWNLOAD_GATE, condition=FAILED)
    again = job(DOWNLOAD, "2026-11-23T16:41:00Z", condition=COMPLETE)
    assert told("sound", gate, again).standing is Standing.READY
    assert told("sound", gate).standing is Standing.FAILED


def test_jobs_of_others_are_left_out() -> None:
    assert told("sound", job("backup", role=None, condition=FAILED)).jobs == ()


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
