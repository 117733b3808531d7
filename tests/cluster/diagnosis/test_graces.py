"""Causes that may pass by themselves are waited for, for a stated time."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from ft_serving.cluster.diagnosis import Cause, Kind, NamespaceSnapshot, State, diagnose
from ft_serving.cluster.documents import name
from tests.cluster.diagnosis.recorded_snapshots import changed, final_after, recorded


def begin(snapshot: NamespaceSnapshot, now: datetime) -> datetime:
    """When the only finding of a recording began."""
    (finding,) = diagnose(snapshot, now).findings
    return finding.since


def event(snapshot: NamespaceSnapshot, reason: str, message: str) -> dict[str, Any]:
    """An event of a snapshot's only pod."""
    (pod,) = snapshot.pods()
    return {
        "involvedObject": {"kind": "Pod", "name": name(pod)},
        "type": "Normal",
        "reason": reason,
        "message": message,
        "eventTime": "2026-11-23T16:40:00.000000Z",
    }


@pytest.mark.parametrize(
    ("reason", "ending", "grace_s"),
    [("", False, 30), ("TriggeredScaleUp", False, 900), ("Nominated", True, 900), ("", True, 120)],
)
def test_a_pod_that_fits_nowhere_waits_for_an_autoscaler_and_for_pods_that_end(
    reason: str, ending: bool, grace_s: int
) -> None:
    snapshot, now = recorded("gpu")
    since = begin(snapshot, now)
    pods: list[Any] = [*snapshot.all(Kind.PODS)]
    if ending:
        old = {"name": "old", "deletionTimestamp": "2026-11-23T16:39:00Z"}
        pods.append({**pods[0], "metadata": {**pods[0]["metadata"], **old}})
    coming = event(snapshot, reason, "pod triggered scale-up: [{gpu-pool 0->1 (max: 4)}]")
    snapshot = changed(snapshot, events=[*snapshot.all(Kind.EVENTS), coming], pods=pods)
    assert final_after(snapshot, since) == grace_s


@pytest.mark.parametrize(("generation", "settling_s"), [(1, 10), (2, 30)])
def test_nothing_is_final_before_controllers_had_time_to_see_a_change(
    generation: int, settling_s: int
) -> None:
    snapshot, now = recorded("gpu")
    [service] = snapshot.all(Kind.INFERENCE_SERVICES)
    service["metadata"]["generation"] = generation
    service["spec"]["predictor"]["containers"][0]["args"] = ["--another"]
    snapshot = dataclasses.replace(snapshot, begun=now + timedelta(hours=1))
    assert final_after(snapshot, snapshot.begun) == settling_s


@pytest.mark.parametrize(
    ("said", "grace_s", "words"),
    [
        ("unexpected status: 401 Unauthorized", 15, "imagePullSecret"),
        ("pull access denied, repository does not exist", 15, "imagePullSecret"),
        ("invalid reference format", 15, "Correct its name"),
        ("dial tcp 10.0.0.1:443: i/o timeout", 120, "Can the nodes reach the registry"),
        ("unexpected status: 503 Service Unavailable", 120, "Can the nodes reach the registry"),
    ],
)
def test_a_registry_that_does_not_answer_is_waited_for_and_one_that_refuses_is_not(
    said: str, grace_s: int, words: str
) -> None:
    snapshot, now = recorded("image-tag")
    since = begin(snapshot, now)
    wrapped = f'failed to resolve reference "registry.example/ft:1": {said}'
    statuses = snapshot.pods()[0]["status"]["containerStatuses"]
    statuses[0]["state"]["waiting"]["message"] = wrapped
    assert final_after(snapshot, since) == grace_s
    summary = diagnose(snapshot, now).summary
    assert words in summary
    assert "failed to resolve reference" not in summary, "the registry's own words suffice"


def test_a_claim_that_waits_for_its_pod_is_not_at_fault() -> None:
    snapshot, now = recorded("class")
    events: Any = snapshot.all(Kind.EVENTS)
    for each in events:
        if each["involvedObject"]["kind"] == "PersistentVolumeClaim":
            each["reason"] = "WaitForFirstConsumer"
    found = diagnose(snapshot, now)
    assert Cause.CLAIM not in {finding.cause for finding in found.findings}


def test_a_claim_is_given_time_only_where_its_volume_may_still_be_made() -> None:
    snapshot, _ = recorded("class")
    created = datetime.fromisoformat(snapshot.all(Kind.CLAIMS)[0]["metadata"]["creationTimestamp"])
    snapshot = dataclasses.replace(snapshot, begun=created)
    assert final_after(snapshot, created) == 15
    events: Any = snapshot.all(Kind.EVENTS)
    for each in events:
        each["message"] = "the provisioner does not answer"
    assert final_after(snapshot, created) == 120


def test_a_claim_whose_volume_is_lost_fails() -> None:
    snapshot, now = recorded("class")
    claim = {**snapshot.all(Kind.CLAIMS)[0], "status": {"phase": "Lost"}}
    found = diagnose(changed(snapshot, claims=[claim]), now)
    assert (found.state, found.findings[0].cause) == (State.FAILED, Cause.CLAIM)
    assert "has lost its volume" in found.summary


def test_a_mount_that_fails_is_given_time_and_then_told() -> None:
    snapshot, _ = recorded("standard-starting-creating")
    said = 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) old'
    failed = event(snapshot, "FailedAttachVolume", said)
    since = datetime.fromisoformat(failed["eventTime"])
    snapshot = dataclasses.replace(changed(snapshot, events=[failed]), begun=since)
    assert final_after(snapshot, since) == 120
    (finding,) = diagnose(snapshot, since).findings
    assert finding.cause is Cause.MOUNT
    assert said in finding.message


@pytest.mark.parametrize(("later_s", "state"), [(1, State.PENDING), (-1, State.FAILED)])
def test_weights_that_a_job_has_mended_are_judged_at_the_next_start(
    later_s: int, state: State
) -> None:
    snapshot, now = recorded("weights-altered")
    (pod,) = snapshot.pods()
    (start,) = (
        status["lastState"]["terminated"]["startedAt"]
        for status in pod["status"]["containerStatuses"]
        if "terminated" in status.get("lastState", {})
    )
    # A container that started before the Job's end may have read the old bytes.
    completed = datetime.fromisoformat(start) + timedelta(seconds=later_s)
    job = {
        "metadata": {"name": "it", "creationTimestamp": "2026-11-23T16:40:00Z"},
        "spec": {"template": {"spec": {"volumes": pod["spec"]["volumes"]}}},
        "status": {"completionTime": completed.isoformat()},
    }
    found = diagnose(changed(snapshot, jobs=[job]), now)
    assert found.state is state
    assert "is damaged" in found.summary, "the reason for the wait is told all the same"
