"""Each cause, as it was on a real cluster, is found and told in words."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ft_serving.cluster.diagnosis import (
    Cause,
    Finding,
    Kind,
    NamespaceSnapshot,
    State,
    diagnose,
)
from ft_serving.cluster.diagnosis.causes.containers import model_failure, telling_lines
from ft_serving.cluster.documents import name
from tests.cluster.diagnosis.recorded_snapshots import changed, recorded, verdict

IMAGE = "localhost:5000/ft-serving/server-cpu"
DAMAGED = "/mnt/models/triton-model-store/tiny-gptj-fp32-tp1-72ba81f543f2 is damaged:"
CLASS = "PersistentVolumeClaim unknown-class (class shared-nvme-las1, ReadWriteMany, 1Gi)"
PROGRESS = "serving.knative.dev/progress-deadline"
SECURITY = "Pod Security (restricted:latest) of namespace gate-restricted refuses the pod: allow"
GPU = "1 with too little nvidia.com/gpu (asked for: kserve-container 1"
AFFINITY = "affinity/selector (asked for: label gpu.nvidia.com/class In RTX_A5000)"
HELD = "The release that runs keeps its resources"

CASES = [
    ("image-tag", Cause.IMAGE, f"Image {IMAGE}:nosuch cannot be pulled: ", "not found. Push it"),
    ("image-host", Cause.IMAGE, "Image registry.invalid/ft-serving/server-cpu:1 cannot", "Is the"),
    ("image-digest-host", Cause.IMAGE, "server-cpu@sha256:1111", 'pulled: Head "https://reg'),
    ("registry-away", Cause.IMAGE, "connection refused. Can the nodes reach the registry", ""),
    ("gpu", Cause.UNSCHEDULABLE, f"{GPU}; nodes have in all:", "ft-serving none)"),
    ("affinity", Cause.UNSCHEDULABLE, AFFINITY, ""),
    ("standard-starting-rollout", Cause.UNSCHEDULABLE, "too little nvidia.com/gpu", HELD),
    ("starting-rollout", Cause.UNSCHEDULABLE, "starting-predictor-00002-deployment", HELD),
    ("crash", Cause.CRASH, "ended with exit code 3 (Error)", "has no parameter model_type"),
    ("api-crash", Cause.CRASH, "triton-transformer-00001-deployment", "chat template cannot be"),
    ("oom", Cause.MEMORY, "OOMKilled", "its limit is 64Mi"),
    ("weights-missing", Cause.MODEL, "failed to stat file /mnt/models", "have it prepared again"),
    ("weights-altered", Cause.MODEL, f"cannot be loaded: {DAMAGED}\n  fastertransformer/1/", ""),
    ("class", Cause.CLAIM, f"{CLASS} has no volume", '"shared-nvme-las1" not found'),
    ("claim-missing", Cause.CLAIM, "PersistentVolumeClaim nosuch does not exist in namespace", ""),
    ("quota", Cause.QUOTA, "Quota small of namespace gate-quota is exceeded: requested limits.mem",
     "used already limits.memory=0,requests.memory=0; allowed limits.memory=1Gi,requests.me"),
    ("standard-quota", Cause.QUOTA, "Quota small of namespace gate-quota is exceeded", ""),
    ("refused", Cause.REFUSED, "validation.webhook.serving.knative.dev refuses",
     "must not set the field(s): spec.template.spec.hostNetwork"),
    ("pod-security", Cause.REFUSED, SECURITY, ""),
    ("secret", Cause.CONTAINER, 'CreateContainerConfigError): secret "nosuch" not found', ""),
    ("startup-probe", Cause.PROBE, "was killed because its startup probe failed: HTTP probe", ""),
    ("gpu-given-up", Cause.DEADLINE, "revision gpu-predictor-00001 (ProgressDeadlineExceeded)",
     "1 Insufficient nvidia.com"),
    ("probe-past-its-deadline", Cause.DEADLINE, "made no progress in the 600 s", PROGRESS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("recording", "cause", "words", "more"), CASES, ids=lambda it: str(it)[:20]
)
def test_a_broken_deployment_fails_with_its_root_cause(
    recording: str, cause: Cause, words: str, more: str
) -> None:
    found = verdict(recording)
    assert (found.state, found.findings[0].cause) == (State.FAILED, cause)
    assert words in found.summary
    assert more in found.summary


def container(recording: str, state: dict[str, Any], **status: Any) -> Finding:
    """The first finding where the first container of a recording has another status."""
    snapshot, now = recorded(recording)
    pod: Any = snapshot.pods()[0]
    pod["status"]["containerStatuses"][0] |= {"state": state, "ready": False, **status}
    return diagnose(changed(snapshot, pods=[pod]), now + timedelta(hours=1)).findings[0]


def test_a_container_that_the_runtime_cannot_run_is_told_in_its_words() -> None:
    ended = {"reason": "StartError", "exitCode": 128, "message": 'exec: "nosuch": not found'}
    found = container("secret", {"terminated": ended}, restartCount=1)
    assert found.cause is Cause.CONTAINER
    assert 'cannot be run: exec: "nosuch": not found' in found.message


def test_a_container_killed_for_its_liveness_probe_is_told_with_the_probe() -> None:
    snapshot, now = recorded("startup-probe")
    events: Any = snapshot.all(Kind.EVENTS)
    for event in events:
        for word in ("message", "reason"):
            event[word] = event[word].replace("startup", "liveness").replace("Startup", "Liveness")
    pod: Any = snapshot.pods()[0]
    for status in pod["status"]["containerStatuses"]:
        status["restartCount"] = 2
    found = diagnose(snapshot, now)
    assert "its liveness probe failed: HTTP probe failed" in found.summary


def test_a_failed_job_is_told_before_the_model_that_it_did_not_write() -> None:
    found = verdict("job")
    assert found.state is State.FAILED
    job, model = found.summary.split("\n")[:2]
    assert job.startswith("Job weights, which writes what the service reads, failed")
    assert "The hub answers 401: give a token" in job, "the Job's own message has to be handed on"
    assert model.startswith("The model cannot be loaded: failed to stat file")


def test_a_failed_job_by_itself_fails_no_service() -> None:
    starting, now = recorded("starting-loading")
    jobs = [*recorded("job")[0].all(Kind.JOBS)]
    found = diagnose(changed(starting, jobs=jobs), now + timedelta(hours=1))
    assert [finding.cause for finding in found.findings] == [Cause.JOB]
    assert found.state is State.PENDING, "an earlier Job may have written the same release"


@pytest.mark.parametrize(
    ("recording", "later_s"),
    [
        ("image-tag-at-first", 0),
        ("oom-at-first", 0),
        ("oom-once", 3600),
        ("probe", 3600),
        ("starting-at-first", 0),
        ("starting-loading", 3600),
        ("standard-starting-creating", 0),
        ("standard-starting-loading", 3600),
    ],
)
def test_a_cause_that_may_pass_is_waited_for_with_a_reason(recording: str, later_s: float) -> None:
    found = verdict(recording, later_s=later_s)
    assert found.state is State.PENDING, found.summary
    assert found.summary, "the user is to be told what is waited for"


def test_a_probe_that_fails_is_told_while_it_is_waited_for() -> None:
    found = verdict("probe", later_s=3600)
    assert found.findings[0].cause is Cause.PROBE
    assert "HTTP probe did not respond Ready, got status code: 404" in found.summary


def test_a_container_that_its_nodes_runtime_lost_is_not_at_fault() -> None:
    snapshot, now = recorded("image-tag")
    statuses = snapshot.pods()[0]["status"]["containerStatuses"]
    (proxy,) = [status for status in statuses if status["name"] == "queue-proxy"]
    assert (proxy["restartCount"], proxy["lastState"]["terminated"]["reason"]) == (2, "Unknown")
    assert [finding.cause for finding in diagnose(snapshot, now).findings] == [Cause.IMAGE]


@pytest.mark.parametrize("mode", ["", "standard-"])
def test_a_sound_deployment_is_ready_at_its_address_within_the_cluster(mode: str) -> None:
    found = verdict(f"{mode}sound")
    assert (found.state, found.findings) == (State.READY, ())
    assert found.url == f"http://{mode}sound-predictor.gate-sound.svc.cluster.local"


def changed_specification(snapshot: NamespaceSnapshot) -> None:
    [service] = snapshot.all(Kind.INFERENCE_SERVICES)
    service["spec"]["predictor"]["containers"][0]["args"] = ["--another"]


def changed_knative_service(snapshot: NamespaceSnapshot) -> None:
    snapshot.all(Kind.KNATIVE_SERVICES)[0]["metadata"]["generation"] += 1


def ended_pods(snapshot: NamespaceSnapshot) -> None:
    snapshot.all(Kind.DEPLOYMENTS)[0]["status"].update(
        replicas=0, updatedReplicas=0, availableReplicas=0
    )


def changed_revision(snapshot: NamespaceSnapshot) -> None:
    made = snapshot.all(Kind.KNATIVE_SERVICES)[0]
    made["status"]["latestCreatedRevisionName"] = "sound-predictor-00002"


@pytest.mark.parametrize(
    ("recording", "change"),
    [
        ("sound", changed_specification),
        ("standard-sound", changed_specification),
        ("sound", changed_knative_service),
        ("sound", changed_revision),
        ("standard-sound", ended_pods),
    ],
)
def test_a_change_that_a_controller_has_not_seen_yet_is_not_ready(
    recording: str, change: Callable[[NamespaceSnapshot], None]
) -> None:
    snapshot, now = recorded(recording)
    change(snapshot)
    assert diagnose(snapshot, now).state is State.PENDING, "READY is about the specification before"


def test_a_generation_that_kserve_took_from_another_object_says_nothing() -> None:
    snapshot, now = recorded("sound")
    snapshot.all(Kind.INFERENCE_SERVICES)[0]["metadata"]["generation"] += 1
    assert diagnose(snapshot, now).state is State.READY


def test_a_rollout_that_hangs_behind_a_ready_service_is_not_ready() -> None:
    snapshot, now = recorded("standard-starting-rollout")
    for each in snapshot.all(Kind.INFERENCE_SERVICES)[0]["status"]["conditions"]:
        each["status"] = "True"
    found = diagnose(snapshot, now)
    assert found.state is State.FAILED, "the pods of the release before may keep it Ready"


def test_pods_of_an_older_revision_are_not_looked_at() -> None:
    snapshot, now = recorded("gpu")
    status = snapshot.all(Kind.INFERENCE_SERVICES)[0]["status"]
    status["components"]["predictor"]["latestCreatedRevision"] = "gpu-predictor-00002"
    found = diagnose(snapshot, now + timedelta(hours=1))
    assert (found.state, found.findings) == (State.PENDING, ())


def test_a_service_that_does_not_exist_fails_with_those_that_do() -> None:
    snapshot, now = recorded("sound")
    snapshot.all(Kind.INFERENCE_SERVICES)[0]["metadata"]["name"] = "fastertransformer"
    found = diagnose(snapshot, now)
    assert (found.state, found.findings[0].cause) == (State.FAILED, Cause.MISSING)
    assert "no InferenceService sound in namespace gate-sound, which has: fast" in found.summary


def test_a_conflict_of_two_writers_is_no_refusal() -> None:
    snapshot, now = recorded("refused")
    for each in snapshot.all(Kind.INFERENCE_SERVICES)[0]["status"]["conditions"]:
        each["message"] = "fails to reconcile predictor: the object has been modified; please apply"
    found = diagnose(snapshot, now)
    assert (found.state, found.findings) == (State.PENDING, ())
    assert "has been modified" in found.summary


def test_the_newest_rollout_of_a_deployment_counts_by_its_number() -> None:
    snapshot, _ = recorded("standard-starting-rollout")
    sets: Any = snapshot.all(Kind.REPLICA_SETS)
    for number, each in enumerate(sets):
        each["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = str(10 - number)
    (pod,) = snapshot.pods()
    assert pod["metadata"]["ownerReferences"][0]["name"] == name(sets[0])


def test_of_a_log_only_its_last_telling_lines_are_shown() -> None:
    snapshot, _ = recorded("weights-altered")
    (log,) = [log for (_, container), log in snapshot.logs.items() if container != "queue-proxy"]
    lines = telling_lines(log).splitlines()
    assert lines[-1] == "error: creating server: Internal - failed to load all models"
    assert not [line for line in lines if line.startswith(("I1123", "|", "+"))]
    long = telling_lines("\n".join(f"{number} " + "x" * 1000 for number in range(50))).splitlines()
    assert [line.split()[0] for line in long] == [str(number) for number in range(40, 50)]
    assert max(map(len, long)) <= 400


def test_the_backends_message_is_taken_from_the_last_attempt() -> None:
    line = (
        "E1123 16:42:33.736639 7 model_lifecycle.cc:642] \"failed to load 'fastertransformer' "
        'version 1: Internal: TritonModelException: {}\\n\\nAt:\\n  /opt/model.py(54): x\\n"'
    )
    log = "\n".join([line.format("the first"), "noise", line.format("the last:\\n  a.bin")])
    assert model_failure(log) == "the last:\n  a.bin"
    assert model_failure("ValueError: no\n") is None
    assert model_failure("error: creating server: Internal - failed to load all models") is None
