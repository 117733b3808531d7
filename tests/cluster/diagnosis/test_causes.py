"""Each cause, as it was on a real cluster, is found and told in words."""

from datetime import timedelta

import pytest

from ft_serving.cluster.diagnosis import Cause, Kind, State, diagnose
from tests.cluster.diagnosis.recorded_snapshots import changed, recorded, verdict

IMAGE = "localhost:5000/ft-serving/server-cpu"
DAMAGED = "/mnt/models/triton-model-store/tiny-gptj-fp32-tp1-72ba81f543f2 is damaged:"

CASES = [
    ("image-tag", Cause.IMAGE, [f"Image {IMAGE}:nosuch cannot be pulled: ", "not found. Push it"]),
    ("standard-image", Cause.IMAGE, [f"Image {IMAGE}:nosuch cannot be pulled: ", "not found"]),
    (
        "image-host",
        Cause.IMAGE,
        ["Image registry.invalid/ft-serving/server-cpu:1 cannot be pulled", "no such host. Is the"],
    ),
    (
        "image-digest-host",
        Cause.IMAGE,
        ["Image registry.invalid/ft-serving/server-cpu@sha256:1111", 'pulled: Head "https://reg'],
    ),
    ("registry-away", Cause.IMAGE, ["connection refused. Can the nodes reach the registry"]),
    (
        "gpu",
        Cause.UNSCHEDULABLE,
        [
            "1 with too little nvidia.com/gpu (asked for: kserve-container 1; nodes have in all:",
            "ft-serving none)",
        ],
    ),
    ("standard-gpu", Cause.UNSCHEDULABLE, ["1 with too little nvidia.com/gpu"]),
    (
        "memory",
        Cause.UNSCHEDULABLE,
        ["too little memory (asked for: kserve-container 4Ti, queue-proxy 32Mi; nodes have in all"],
    ),
    (
        "affinity",
        Cause.UNSCHEDULABLE,
        ["node affinity/selector (asked for: label gpu.nvidia.com/class In RTX_A5000)"],
    ),
    (
        "crash",
        Cause.CRASH,
        ["ended with exit code 3 (Error)", "times so far", "has no parameter model_type"],
    ),
    ("oom", Cause.MEMORY, ["OOMKilled", "its limit is 64Mi", "reading weights"]),
    (
        "weights-missing",
        Cause.MODEL,
        ["failed to stat file /mnt/models/triton-model-store/none", "have it prepared again"],
    ),
    (
        "weights-altered",
        Cause.MODEL,
        [f"The model cannot be loaded: {DAMAGED}\n  fastertransformer/1/model.final_layernorm"],
    ),
    (
        "class",
        Cause.CLAIM,
        [
            "PersistentVolumeClaim unknown-class (class shared-nvme-las1, ReadWriteMany, 1Gi)",
            'storageclass.storage.k8s.io "shared-nvme-las1" not found',
        ],
    ),
    ("claim-missing", Cause.CLAIM, ["PersistentVolumeClaim nosuch does not exist in namespace"]),
    (
        "quota",
        Cause.QUOTA,
        [
            "Quota small of namespace gate-quota is exceeded: requested limits.memory=2Gi,requ",
            "used already limits.memory=0,requests.memory=0; allowed limits.memory=1Gi,requests.me",
        ],
    ),
    ("standard-quota", Cause.QUOTA, ["Quota small of namespace gate-quota is exceeded"]),
    (
        "refused",
        Cause.REFUSED,
        [
            "validation.webhook.serving.knative.dev refuses",
            "must not set the field(s): spec.template.spec.hostNetwork",
            "config-features",
        ],
    ),
    (
        "pod-security",
        Cause.REFUSED,
        ["Pod Security (restricted:latest) of namespace gate-restricted refuses the pod: allow"],
    ),
    ("secret", Cause.CONTAINER, ['CreateContainerConfigError): secret "nosuch" not found']),
    (
        "startup-probe",
        Cause.PROBE,
        ["was killed because its startup probe failed: HTTP probe failed with statuscode: 404"],
    ),
    (
        "gpu-given-up",
        Cause.DEADLINE,
        ["revision gpu-predictor-00001 (ProgressDeadlineExceeded)", "1 Insufficient nvidia.com"],
    ),
    (
        "probe-past-its-deadline",
        Cause.DEADLINE,
        [
            "made no progress in the 600 s",
            "serving.knative.dev/progress-deadline",
            "HTTP probe did not respond Ready, got status code: 404",
        ],
    ),
    (
        "standard-starting-rollout",
        Cause.UNSCHEDULABLE,
        ["too little nvidia.com/gpu", "The release that runs keeps its resources"],
    ),
    (
        "starting-rollout",
        Cause.UNSCHEDULABLE,
        ["starting-predictor-00002-deployment", "The release that runs keeps its resources"],
    ),
]


@pytest.mark.parametrize(("name", "cause", "words"), CASES, ids=[name for name, *_ in CASES])
def test_a_broken_deployment_fails_with_its_root_cause(
    name: str, cause: Cause, words: list[str]
) -> None:
    found = verdict(name)

    assert found.state is State.FAILED
    assert found.findings[0].cause is cause
    for phrase in words:
        assert phrase in found.summary


def test_a_failed_job_is_told_before_the_model_that_it_did_not_write() -> None:
    found = verdict("job")

    assert found.state is State.FAILED
    job, model = found.summary.split("\n")[:2]
    assert job.startswith("Job weights, which writes what the service reads, failed")
    assert "The hub answers 401: give a token" in job, "the Job's own message has to be handed on"
    assert model.startswith("The model cannot be loaded: failed to stat file")


def test_a_failed_job_alone_fails_nothing() -> None:
    starting, now = recorded("starting-loading")
    jobs = [*recorded("job")[0].all(Kind.JOBS)]
    found = diagnose(changed(starting, jobs=jobs), now + timedelta(hours=1))

    assert [finding.cause for finding in found.findings] == [Cause.JOB]
    assert found.state is State.PENDING, "an earlier Job may have written the same release"


def test_what_passes_at_first_is_not_taken_for_final() -> None:
    for name in (
        "image-tag-at-first",
        "oom-at-first",
        "probe",
        "oom-once",
        "starting-at-first",
        "starting-loading",
        "standard-starting-at-first",
        "standard-starting-creating",
        "standard-starting-loading",
    ):
        found = verdict(name, later_s=0)
        assert found.state is State.PENDING, f"{name}: {found.summary}"
        assert found.summary, f"{name}: the user is to be told what is waited for"


def test_a_loading_model_may_take_any_time_until_a_deadline_says_otherwise() -> None:
    assert verdict("starting-loading", later_s=3600).state is State.PENDING
    assert verdict("standard-starting-loading", later_s=3600).state is State.PENDING


def test_a_probe_that_fails_is_told_while_it_is_waited_for() -> None:
    found = verdict("probe", later_s=3600)
    assert (found.state, found.findings[0].cause) == (State.PENDING, Cause.PROBE)
    assert "HTTP probe did not respond Ready, got status code: 404" in found.summary


def test_a_container_that_its_nodes_runtime_lost_is_not_at_fault() -> None:
    snapshot, now = recorded("image-tag")
    (proxy,) = [
        status
        for status in snapshot.pods()[0]["status"]["containerStatuses"]
        if status["name"] == "queue-proxy"
    ]
    assert (proxy["restartCount"], proxy["lastState"]["terminated"]["reason"]) == (2, "Unknown")
    assert [finding.cause for finding in diagnose(snapshot, now).findings] == [Cause.IMAGE]


def test_a_container_that_ended_once_may_get_through_the_next_time() -> None:
    assert verdict("oom-once", later_s=3600).state is State.PENDING


def test_sound_deployments_are_ready_at_their_address_within_the_cluster() -> None:
    for name, url in (
        ("sound", "http://sound-predictor.gate-sound.svc.cluster.local"),
        ("standard-sound", "http://standard-sound-predictor.gate-sound.svc.cluster.local"),
    ):
        found = verdict(name)
        assert (found.state, found.url, found.findings) == (State.READY, url, ())
