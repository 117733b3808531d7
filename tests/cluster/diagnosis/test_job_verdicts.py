"""What keeps a Job from its end is found and told in words.

The pods, claims and events are those that a real cluster had, made those of a Job.
"""

import copy
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
SAID = "Error: The hub answers 401: give a token that may read EleutherAI/gpt-j-6b (HF_TOKEN)"
QUOTA = (
    'Error creating: pods "model-download-c04f2e644410-b8rfx" is forbidden: exceeded quota: small, '
    "requested: limits.memory=2Gi, used: limits.memory=0, limited: limits.memory=1Gi"
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


def job(claim: str = "models", *conditions: dict[str, str], uid: str = UID) -> dict[str, Any]:
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": claim}}
    return {
        "metadata": {"name": NAME, "uid": uid, "creationTimestamp": "2026-11-23T16:57:55Z"},
        "spec": {"template": {"spec": {"containers": [], "volumes": [volume]}}},
        "status": {"conditions": list(conditions)},
    }


def snapshot(recording: str, *jobs: dict[str, Any], uid: str = UID) -> tuple[JobSnapshot, datetime]:
    """A recording whose pods are those of a Job."""
    found, now = recorded(recording)
    pods: Any = copy.deepcopy([*found.all(Kind.PODS)])
    for pod in pods:
        pod["metadata"]["labels"] = {
            "batch.kubernetes.io/job-name": NAME,
            "batch.kubernetes.io/controller-uid": uid,
        }
    objects = {
        **{kind: found.all(kind) for kind in (Kind.CLAIMS, Kind.EVENTS, Kind.NODES)},
        Kind.JOBS: jobs,
        Kind.PODS: pods,
    }
    taken = JobSnapshot(namespace=found.namespace, name=NAME, begun=found.begun, objects=objects)
    return taken, now


def refused(message: str, *, uid: str = UID, after_s: float = 60.0) -> Verdict:
    """A Job without pods, so many seconds after the first refusal of one."""
    event = {
        "metadata": {"name": "it"},
        "involvedObject": {"kind": "Job", "name": NAME, "uid": uid},
        "reason": "FailedCreate",
        "message": message,
        "firstTimestamp": "2026-11-23T16:58:00Z",
    }
    taken = JobSnapshot(
        namespace="models",
        name=NAME,
        begun=REFUSED_AT,
        objects={Kind.JOBS: [job("models")], Kind.EVENTS: [event], Kind.CLAIMS: MODELS},
    )
    return diagnose_job(taken, REFUSED_AT + timedelta(seconds=after_s))


MODELS = recorded("image-tag")[0].all(Kind.CLAIMS)


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
        (SECURITY, Cause.REFUSED, "(restricted:latest) of namespace models refuses the pod: runA"),
        (ACCOUNT, Cause.REFUSED, "is forbidden: error looking up service account models/nosuch: s"),
    ],
)
def test_a_pod_that_is_not_let_in_fails_its_job_with_the_reason(
    message: str, cause: Cause, words: str
) -> None:
    found = refused(message)
    assert (found.state, found.findings[0].cause) == (State.FAILED, cause)
    assert words in found.summary
    assert refused(message, after_s=5).state is State.PENDING, "room may come within seconds"


def test_what_was_refused_to_a_job_of_that_name_before_is_not_this_ones() -> None:
    assert refused(QUOTA, uid="another").findings == ()


def test_what_was_wrong_with_a_claim_of_that_name_before_is_not_this_ones() -> None:
    taken, now = snapshot("class", job("unknown-class"))
    claims: Any = copy.deepcopy(taken.all(Kind.CLAIMS))
    claims[0]["metadata"]["creationTimestamp"] = now.isoformat()
    objects = {**taken.objects, Kind.CLAIMS: claims}
    later = now + timedelta(minutes=5)
    found = diagnose_job(dataclasses.replace(taken, objects=objects), later)
    assert found.findings == (), "it may wait for its first pod"


def test_pods_of_a_job_of_that_name_before_are_not_this_ones() -> None:
    found = diagnose_job(*snapshot("image-tag", job(), uid="another"))
    assert (found.state, found.summary) == (State.PENDING, "it has no pod yet")


def test_a_job_that_failed_is_told_in_its_commands_words() -> None:
    found = diagnose_job(*snapshot("job", job("models", FAILED)))
    assert found.state is State.FAILED
    assert found.summary == f"It failed: {SAID}"


def test_a_job_that_failed_is_told_without_its_attempts() -> None:
    taken, now = snapshot("job", job("models", FAILED))
    pods: Any = taken.all(Kind.PODS)
    for pod in pods:
        message = f"it: cannot reach it; trying again in 0.3 s\n{SAID}\nTry another."
        ended = {"reason": "Error", "exitCode": 1, "message": message}
        pod["status"]["containerStatuses"][0]["state"] = {"terminated": ended}
    assert diagnose_job(taken, now).summary == f"It failed: {SAID}\nTry another."


def test_a_job_whose_pod_ran_out_of_memory_says_so() -> None:
    taken, now = snapshot("job", job("models", FAILED))
    pods: Any = taken.all(Kind.PODS)
    for pod in pods:
        pod["status"]["containerStatuses"][0]["state"]["terminated"] = {
            "reason": "OOMKilled",
            "exitCode": 137,
            "message": "Converting 12 of 28 layers",
        }
    found = diagnose_job(taken, now)
    assert found.summary.endswith(
        "killed for its memory (OOMKilled); raise its limit. Converting 12 of 28 layers"
    )


def test_a_job_that_ends_at_its_deadline_says_so_without_a_pod() -> None:
    late = {**FAILED, "reason": "DeadlineExceeded", "message": "Job was active longer than"}
    taken, now = snapshot("sound", job("models", late))
    objects = {**taken.objects, Kind.PODS: []}
    found = diagnose_job(dataclasses.replace(taken, objects=objects), now)
    assert found.summary == "It failed (DeadlineExceeded): Job was active longer than"


def test_a_job_that_is_not_there_fails() -> None:
    found = diagnose_job(*snapshot("sound"))
    assert found.findings[0].cause is Cause.MISSING
    assert found.summary == f"There is no Job {NAME} in namespace gate-sound"


def test_a_job_that_succeeded_is_ready_whatever_was_in_its_way() -> None:
    done = {"type": "Complete", "status": "True"}
    found = diagnose_job(*snapshot("image-tag", job("models", done)))
    assert (found.state, found.findings) == (State.READY, ())


def test_a_job_that_runs_may_take_any_time() -> None:
    taken, now = snapshot("sound", job())
    found = diagnose_job(taken, now + timedelta(hours=5))
    assert found.state is State.PENDING
    assert found.summary.startswith("pod sound-predictor-")
    assert found.summary.endswith(" is running")


def test_an_image_that_kubelet_has_tried_once_is_not_given_up() -> None:
    taken, now = snapshot("image-tag", job())
    (finding,) = diagnose_job(taken, now).findings
    found = diagnose_job(taken, finding.since + timedelta(seconds=5))
    assert (found.state, found.findings) == (State.PENDING, (finding,))
