"""What may pass by itself is waited for, for a stated time."""

import copy
import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from ft_serving.cluster.diagnosis import Cause, Kind, NamespaceSnapshot, State, diagnose
from ft_serving.cluster.documents import name
from tests.cluster.diagnosis.recorded_snapshots import changed, recorded


def state(snapshot: NamespaceSnapshot, begin: datetime, seconds: float) -> State:
    return diagnose(snapshot, begin + timedelta(seconds=seconds)).state


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


def test_a_pod_that_fits_nowhere_is_waited_for_as_long_as_an_autoscaler_needs_to_say_so() -> None:
    snapshot, now = recorded("gpu")
    since = begin(snapshot, now)

    assert state(snapshot, since, 29) is State.PENDING
    assert state(snapshot, since, 30) is State.FAILED


@pytest.mark.parametrize("reason", ["TriggeredScaleUp", "Nominated"])
def test_a_pod_that_a_node_is_being_added_for_is_waited_for(reason: str) -> None:
    snapshot, now = recorded("gpu")
    since = begin(snapshot, now)
    coming = event(snapshot, reason, "pod triggered scale-up: [{gpu-pool 0->1 (max: 4)}]")
    snapshot = changed(snapshot, events=[*snapshot.all(Kind.EVENTS), coming])

    assert state(snapshot, since, 899) is State.PENDING
    assert state(snapshot, since, 900) is State.FAILED


def test_a_pod_waits_for_what_ending_pods_of_the_same_service_hold() -> None:
    snapshot, now = recorded("gpu")
    since = begin(snapshot, now)
    ending: Any = copy.deepcopy(snapshot.pods()[0])
    ending["metadata"] |= {"name": "old", "deletionTimestamp": "2026-11-23T16:39:00Z"}
    snapshot = changed(snapshot, pods=[*snapshot.all(Kind.PODS), ending])

    assert state(snapshot, since, 119) is State.PENDING
    assert state(snapshot, since, 120) is State.FAILED


def test_nothing_is_final_before_controllers_had_time_to_react_to_a_change() -> None:
    snapshot, now = recorded("gpu")
    snapshot = dataclasses.replace(snapshot, begun=now + timedelta(hours=1))

    assert state(snapshot, snapshot.begun, 9) is State.PENDING
    assert state(snapshot, snapshot.begun, 10) is State.FAILED


def test_a_status_about_an_older_specification_counts_for_longer_time_only() -> None:
    snapshot, now = recorded("gpu")
    service: Any = copy.deepcopy(snapshot.service())
    service["metadata"]["generation"] = 2
    snapshot = dataclasses.replace(
        changed(snapshot, inference_services=[service]), begun=now + timedelta(hours=1)
    )

    assert state(snapshot, snapshot.begun, 29) is State.PENDING
    assert state(snapshot, snapshot.begun, 30) is State.FAILED


PULL = 'failed to resolve reference "registry.example/ft:1": '


@pytest.mark.parametrize(
    ("said", "grace_s", "words"),
    [
        (PULL + "unexpected status: 401 Unauthorized", 15, "imagePullSecret"),
        (PULL + "pull access denied, repository does not exist", 15, "imagePullSecret"),
        (PULL + "dial tcp 10.0.0.1:443: i/o timeout", 120, "Can the nodes reach the registry"),
        (PULL + "unexpected status: 503 Service Unavailable", 120, "Can the nodes reach"),
    ],
)
def test_a_registry_that_does_not_answer_is_waited_for_and_one_that_refuses_is_not(
    said: str, grace_s: int, words: str
) -> None:
    snapshot, now = recorded("image-tag")
    since = begin(snapshot, now)
    pod: Any = copy.deepcopy(snapshot.pods()[0])
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] = said
    snapshot = changed(snapshot, pods=[pod])

    assert state(snapshot, since, grace_s - 1) is State.PENDING
    found = diagnose(snapshot, since + timedelta(seconds=grace_s))
    assert found.state is State.FAILED
    assert words in found.summary
    assert "failed to resolve reference" not in found.summary, "the registry's own words suffice"


def test_a_claim_that_waits_for_its_pod_is_not_at_fault() -> None:
    snapshot, now = recorded("class")
    events = [
        {**each, "reason": "WaitForFirstConsumer"}
        for each in snapshot.all(Kind.EVENTS)
        if each["involvedObject"]["kind"] == "PersistentVolumeClaim"
    ]
    assert events
    found = diagnose(changed(snapshot, events=events), now)
    assert Cause.CLAIM not in {finding.cause for finding in found.findings}


def test_a_claim_whose_volume_is_lost_fails() -> None:
    snapshot, now = recorded("class")
    claim: Any = copy.deepcopy(snapshot.all(Kind.CLAIMS)[0])
    claim["status"] = {"phase": "Lost"}
    found = diagnose(changed(snapshot, claims=[claim]), now)
    assert (found.state, found.findings[0].cause) == (State.FAILED, Cause.CLAIM)
    assert "has lost its volume" in found.summary


def test_a_mount_that_fails_is_given_time_and_then_told() -> None:
    snapshot, now = recorded("standard-starting-creating")
    assert diagnose(snapshot, now).findings == ()
    said = 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) old'
    failed = event(snapshot, "FailedAttachVolume", said)
    snapshot = changed(snapshot, events=[failed])
    since = datetime.fromisoformat(failed["eventTime"])

    snapshot = dataclasses.replace(snapshot, begun=since)
    assert state(snapshot, since, 119) is State.PENDING
    found = diagnose(snapshot, since + timedelta(seconds=120))
    assert (found.state, found.findings[0].cause) == (State.FAILED, Cause.MOUNT)
    assert said in found.summary


def test_weights_that_a_job_has_mended_are_judged_at_the_next_start() -> None:
    snapshot, now = recorded("weights-altered")
    assert diagnose(snapshot, now).state is State.FAILED
    (pod,) = snapshot.pods()
    (start,) = (
        status["lastState"]["terminated"]["startedAt"]
        for status in pod["status"]["containerStatuses"]
        if "terminated" in status.get("lastState", {})
    )
    volumes = pod["spec"]["volumes"]

    def prepared(completed: datetime) -> NamespaceSnapshot:
        job = {
            "metadata": {"name": "it", "creationTimestamp": "2026-11-23T16:40:00Z"},
            "spec": {"template": {"spec": {"volumes": volumes}}},
            "status": {"completionTime": completed.isoformat()},
        }
        return changed(snapshot, jobs=[job])

    # A container that started before the Job's end may have read the old bytes.
    started = datetime.fromisoformat(start)
    mended = diagnose(prepared(started + timedelta(seconds=1)), now)
    assert mended.state is State.PENDING
    assert "is damaged" in mended.summary, "what is waited for is told all the same"
    assert diagnose(prepared(started - timedelta(seconds=1)), now).state is State.FAILED
