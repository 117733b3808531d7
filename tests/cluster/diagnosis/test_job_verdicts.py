"""Causes that keep a Job from its end are found and told in words.

The pods, claims and events are those that a real cluster had, made those of a Job.
"""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from ft_serving.cluster.diagnosis import Cause, JobSnapshot, Kind, State, Verdict, diagnose_job
from tests.cluster.diagnosis.recorded_snapshots import recorded

NAME, UID = "model-download-c04f2e644410", "7d0a4cf8-29ae-4d61-b5f7-6c67f8e4a1d2"
FAILED = {
    "type": "Failed",
    "status": "True",
    "reason": "PodFailurePolicy",
    "message": "Container weights for pod it/it failed with exit code 1 matching FailJob rule at",
    "lastTransitionTime": "2026-11-23T16:58:00Z",
}
DONE = {"type": "Complete", "status": "True"}
SAID = "Error: The hub answers 401: give a token that may read EleutherAI/gpt-j-6b (HF_TOKEN)"
QUOTA = (
    'Error creating: pods "model-download-c04f2e644410-b8rfx" is forbidden: exceeded quota: small, '
    "requested: limits.memory=2Gi, used: limits.memory=0, limited: limits.memory=1Gi"
)
UNSTATED = (
    'Error creating: pods "it" is forbidden: failed quota: small: must specify limits.cpu for: it'
)
SECURITY = (
    'Error creating: pods "model-download-c04f2e644410-b8rfx" is forbidden: violates PodSecurity '
    '"restricted:latest": runAsNonRoot != true (pod must not set runAsNonRoot=false)'
)
ACCOUNT = (
    'Error creating: pods "model-download-c04f2e644410-" is forbidden: error looking up service '
    'account models/nosuch: serviceaccount "nosuch" not found'
)
REFUSED_AT = datetime.fromisoformat("2026-11-23T16:58:00+00:00")


def job(claim: str = "models", *conditions: dict[str, str]) -> dict[str, Any]:
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": claim}}
    return {
        "metadata": {"name": NAME, "uid": UID, "creationTimestamp": "2026-11-23T16:57:55Z"},
        "spec": {"template": {"spec": {"containers": [], "volumes": [volume]}}},
        "status": {"conditions": list(conditions)},
    }


def snapshot(recording: str, *jobs: dict[str, Any], uid: str = UID) -> tuple[JobSnapshot, datetime]:
    """A recording whose pods are those of a Job."""
    found, now = recorded(recording)
    pods: Any = found.all(Kind.PODS)
    for pod in pods:
        pod["metadata"]["labels"] = {
            "batch.kubernetes.io/job-name": NAME,
            "batch.kubernetes.io/controller-uid": uid,
        }
    kinds = (Kind.CLAIMS, Kind.EVENTS, Kind.NODES, Kind.PODS)
    objects = {**{kind: found.all(kind) for kind in kinds}, Kind.JOBS: jobs}
    taken = JobSnapshot(namespace=found.namespace, name=NAME, begun=found.begun, objects=objects)
    return taken, now


def refused(message: str, *, uid: str = UID, after_s: float = 60.0) -> Verdict:
    """The verdict about a Job without pods, so many seconds after the first refusal of one."""
    event = {
        "metadata": {"name": "it"},
        "involvedObject": {"kind": "Job", "name": NAME, "uid": uid},
        "reason": "FailedCreate",
        "message": message,
        "firstTimestamp": "2026-11-23T16:58:00Z",
    }
    claims = recorded("image-tag")[0].all(Kind.CLAIMS)
    taken = JobSnapshot(
        namespace="models",
        name=NAME,
        begun=REFUSED_AT,
        objects={Kind.JOBS: [job()], Kind.EVENTS: [event], Kind.CLAIMS: claims},
    )
    return diagnose_job(taken, REFUSED_AT + timedelta(seconds=after_s))


@pytest.mark.parametrize(
    ("recording", "claim", "cause", "words"),
    [
        ("image-tag", "models", Cause.IMAGE, "server-cpu:nosuch cannot be pulled: "),
        ("gpu", "models", Cause.UNSCHEDULABLE, "with too little nvidia.com/gpu (asked for: "),
        ("secret", "models", Cause.CONTAINER, 'secret "nosuch" not found'),
        ("class", "unknown-class", Cause.CLAIM, '"shared-nvme-las1" not found'),
        ("claim-missing", "nosuch", Cause.CLAIM, "Claim nosuch does not exist in namespace"),
    ],
)
def test_a_pod_that_cannot_start_fails_its_job_with_the_cause(
    recording: str, claim: str, cause: Cause, words: str
) -> None:
    found = diagnose_job(*snapshot(recording, job(claim)))
    assert (found.state, found.findings[0].cause) == (State.FAILED, cause)
    assert words in found.summary


@pytest.mark.parametrize(
    ("message", "cause", "words"),
    [
        (QUOTA, Cause.QUOTA, "requested limits.memory=2Gi; used already limits.memory=0; allowed"),
        (UNSTATED, Cause.QUOTA, "wants every container to state its resources, and one does not"),
        (SECURITY, Cause.REFUSED, "(restricted:latest) of namespace models refuses the pod: runA"),
        (ACCOUNT, Cause.REFUSED, "is forbidden: error looking up service account models/nosuch: s"),
    ],
)
def test_a_pod_that_is_refused_fails_its_job_with_the_reason(
    message: str, cause: Cause, words: str
) -> None:
    found = refused(message)
    assert (found.state, found.findings[0].cause) == (State.FAILED, cause)
    assert words in found.summary
    assert refused(message, after_s=5).state is State.PENDING, "room may come within seconds"
    assert refused(message, uid="another").findings == (), "it was about an earlier Job"


def test_an_event_about_an_earlier_claim_of_that_name_is_not_this_ones() -> None:
    taken, now = snapshot("class", job("unknown-class"))
    taken.all(Kind.CLAIMS)[0]["metadata"]["creationTimestamp"] = now.isoformat()
    found = diagnose_job(taken, now + timedelta(minutes=5))
    assert found.findings == (), "it may wait for its first pod"


def test_pods_of_an_earlier_job_of_that_name_are_not_this_ones() -> None:
    found = diagnose_job(*snapshot("image-tag", job(), uid="another"))
    assert (found.state, found.summary) == (State.PENDING, "it has no pod yet")


OOM = {"reason": "OOMKilled", "exitCode": 137, "message": "Converting 12 of 28 layers"}
LOG = {"exitCode": 1, "message": f"it: cannot reach it; again in 0.3 s\n{SAID}\nTry another."}


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (None, SAID),
        (LOG, f"{SAID}\nTry another."),
        (OOM, "it was killed for its memory (OOMKilled); raise its limit. Converting 12 of 28 la"),
    ],
)
def test_a_job_that_failed_is_told_in_its_commands_words(
    ended: dict[str, Any] | None, said: str
) -> None:
    taken, now = snapshot("job", job("models", FAILED))
    for pod in taken.all(Kind.PODS):
        if ended:
            pod["status"]["containerStatuses"][0]["state"] = {"terminated": ended}
    found = diagnose_job(taken, now)
    assert found.state is State.FAILED
    assert found.summary.startswith(f"It failed: {said}")


def test_a_job_that_ends_at_its_deadline_says_so_without_a_pod() -> None:
    late = {**FAILED, "reason": "DeadlineExceeded", "message": "Job was active longer than"}
    taken, now = snapshot("sound", job("models", late))
    objects = {**taken.objects, Kind.PODS: []}
    found = diagnose_job(dataclasses.replace(taken, objects=objects), now)
    assert found.summary == "It failed (DeadlineExceeded): Job was active longer than"


def test_a_job_that_does_not_exist_fails() -> None:
    found = diagnose_job(*snapshot("sound"))
    assert found.findings[0].cause is Cause.MISSING
    assert found.summary == f"There is no Job {NAME} in namespace gate-sound"


def test_a_job_that_succeeded_is_ready_whatever_was_in_its_way() -> None:
    found = diagnose_job(*snapshot("image-tag", job("models", DONE)))
    assert (found.state, found.findings) == (State.READY, ())


def test_a_job_that_runs_may_take_any_time() -> None:
    taken, now = snapshot("sound", job())
    found = diagnose_job(taken, now + timedelta(hours=5))
    assert found.state is State.PENDING
    assert found.summary.startswith("pod sound-predictor-")
    assert found.summary.endswith(" is running")
