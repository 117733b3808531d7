"""The Jobs: the model download, the gate that waits for it, and the smoke test."""

import re
from typing import Any

from ft_serving.cluster.job_labels import ROLE, JobRole, prepares, role_of
from operations.recording.recorder import URL, Registered
from tests.components.program import CPU_STACK, made
from tests.stacks.documents import COMMIT, CPU, VLLM, config


def download(changes: dict[str, Any] | None = None) -> Registered:
    return made("ModelDownload", config(CPU, changes)).one(":Job", "it")


def download_gate(changes: dict[str, Any] | None = None) -> Registered:
    return made("ModelDownload", config(CPU, changes)).one(":Job", "it-gate")


def smoke_test(changes: dict[str, Any] | None = None) -> Registered:
    return made("SmokeTest", config(CPU, changes)).one(":Job")


def container(job: Registered) -> dict[str, Any]:
    (only,) = job.inputs["spec"]["template"]["spec"]["containers"]
    return dict(only)


def name(job: Registered) -> str:
    return str(job.inputs["metadata"]["name"])


def test_a_download_says_all_that_decides_the_release() -> None:
    assert container(download({"serving.streaming": True}))["args"] == [
        "prepare",
        "--repository=tiny-gptj",
        f"--revision={COMMIT}",
        "--storage=/mnt/models",
        "--format=fastertransformer",
        "--dtype=fp32",
        "--compute-dtype=fp32",
        "--tensor-parallel=1",
        "--pipeline-parallel=1",
        "--input-length=256",
        "--output-length=256",
        "--drop-source",
        "--streaming",
    ]


def test_a_download_for_any_number_of_gpus_names_none() -> None:
    job = made("ModelDownload", config(VLLM, {"gpu.type": "L4", "gpu.tensorParallel": 2}))
    arguments = container(job.one(":Job", "it"))["args"]
    assert "--format=huggingface" in arguments
    assert not [each for each in arguments if "-parallel=" in each]
    told = job.one(":Job", "it").inputs["metadata"]["annotations"]
    assert told["ft-serving.dev/tensor-parallel"] == "2", "diagnosis says how it is served"


def test_another_release_is_another_job() -> None:
    names = {
        name(download(it)) for it in ({}, {"model.revision": "f" * 40}, {"model.dtype": "fp16"})
    }
    assert len(names) == 3
    assert name(download({"replicas": {"max": 4}})) in names, "nothing else makes a new Job"


def test_a_job_that_failed_is_run_again_by_the_next_up() -> None:
    for job in (download(), download_gate(), smoke_test()):
        annotations = job.inputs["metadata"]["annotations"]
        assert annotations["pulumi.com/replaceUnready"] == "true"


def test_pulumi_does_not_wait_for_a_download_whose_gate_says_more() -> None:
    annotations = download().inputs["metadata"]["annotations"]
    assert annotations["pulumi.com/waitFor"] == "jsonpath={.metadata.uid}"
    assert "pulumi.com/skipAwait" not in annotations, "its successor has the same name"
    for job in (download_gate(), smoke_test()):
        assert "pulumi.com/waitFor" not in job.inputs["metadata"]["annotations"]


def test_a_download_that_is_run_again_is_waited_for_again() -> None:
    assert container(download_gate())["command"] == ["ft-serving", "gate-job"]
    assert re.fullmatch("model-download-gate-[0-9a-f]{12}", name(download_gate()))
    assert container(download_gate())["args"] == [
        f"--job={name(download())}",
        "--namespace=models",
        f"--timeout={CPU_STACK.job_deadline_s + 60}",
    ]


def test_the_gate_of_a_download_goes_with_it() -> None:
    (owner,) = download_gate().inputs["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Job", name(download()))
    assert owner["uid"]


def test_the_download_is_known_once_its_gate_has_seen_it_succeed() -> None:
    assert made("ModelDownload").outputs["it"] == {"job": name(download())}


def test_each_end_comes_before_that_of_who_waits_for_it() -> None:
    ends = [it.inputs["spec"]["activeDeadlineSeconds"] for it in (download(), download_gate())]
    patience = CPU_STACK.job_deadline_s + 60
    assert ends[0] < patience < ends[1], "whoever knows most has to speak first"


def test_pulumi_waits_longer_than_the_job_may_take() -> None:
    for job in (download_gate(), smoke_test()):
        deadline = job.inputs["spec"]["activeDeadlineSeconds"]
        timeout = job.request.customTimeouts.create
        assert int(timeout.removesuffix("s")) > deadline, "the Job's own message has to come first"


DISRUPTED = {
    "action": "Ignore",
    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
}


def test_a_job_that_pulumi_waits_for_fails_for_the_reason_that_ends_the_wait() -> None:
    for job in (download_gate(), smoke_test(), *collection()):
        spec = job.inputs["spec"]
        assert spec["backoffLimit"] == 0, "BackoffLimitExceeded ends the wait, PodFailurePolicy not"
        assert spec["podFailurePolicy"]["rules"] == [DISRUPTED], (
            "a pod whose node is lost runs again"
        )


def test_a_download_that_says_why_it_failed_is_not_repeated() -> None:
    spec = download().inputs["spec"]
    final = {"containerName": "weights", "operator": "In", "values": [1, 2]}
    rules = [DISRUPTED, {"action": "FailJob", "onExitCodes": final}]
    assert spec["podFailurePolicy"]["rules"] == rules
    assert spec["backoffLimit"] == 3, "a pod that its memory ended goes on from what is there"


def test_the_hub_is_in_the_environment_and_its_token_in_a_secret() -> None:
    changes = {"hub": {"endpoint": "http://mirror"}}
    for job in (download(changes), smoke_test(changes)):
        assert container(job)["env"] == [{"name": "HF_ENDPOINT", "value": "http://mirror"}]


def test_the_volume_is_writable_for_the_download_alone() -> None:
    mounts = {it["mountPath"]: it for it in container(download())["volumeMounts"]}
    assert not mounts["/mnt/models"].get("readOnly")
    assert "/mnt/models" not in {it["mountPath"] for it in container(smoke_test())["volumeMounts"]}


def pod(job: Registered) -> dict[str, Any]:
    return dict(job.inputs["spec"]["template"]["spec"])


def test_jobs_run_where_the_volume_is_and_tolerate_what_the_server_does() -> None:
    scheduling = {"region": "LAS1", "tolerations": [{"key": "gpu", "effect": "NoSchedule"}]}
    changes = {"scheduling": scheduling}
    for job in (download(changes), download_gate(changes), smoke_test(changes)):
        assert pod(job)["affinity"] == {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {
                                    "key": "topology.kubernetes.io/region",
                                    "operator": "In",
                                    "values": ["LAS1"],
                                }
                            ]
                        }
                    ]
                }
            }
        }
        assert pod(job)["tolerations"] == [
            {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
        ]
    assert pod(download()).keys().isdisjoint({"affinity", "tolerations"})


def test_a_download_goes_to_the_node_that_has_the_volume_if_no_other_can_mount_it() -> None:
    alone = {"storage.accessMode": "ReadWriteOnce", "scheduling.spareGpu": False}
    (wish,) = pod(download(alone))["affinity"]["podAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert wish["podAffinityTerm"] == {
        "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "server"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    assert "affinity" not in pod(smoke_test(alone)), "it mounts nothing"


def test_the_smoke_test_asks_the_golden_question() -> None:
    golden = CPU_STACK.golden_question
    assert container(smoke_test())["command"] == ["ft-serving", "gate"]
    assert container(smoke_test())["args"] == [
        "--inference-service=it",
        "--namespace=models",
        f"--timeout={CPU_STACK.timeouts.gate}",
        "--protocol=http",
        f"--tokenizer=tiny-gptj@{COMMIT}",
        "--prompt=Mary has a little lamb.",
        "--output-length=38",
        f"--expect-token-ids={','.join(map(str, golden.expected_token_ids or ()))}",
    ]


def test_the_smoke_test_asks_by_the_services_protocol() -> None:
    arguments = container(smoke_test({"serving.protocol": "grpc"}))["args"]
    assert "--protocol=grpc" in arguments, "KServe's address is http:// for both"


def test_words_are_expected_where_tokens_are_not_known() -> None:
    golden = {"prompt": "Monday,", "outputLength": 8, "expectedWords": ["Tuesday", "Wednesday"]}
    assert container(smoke_test({"golden": golden}))["args"][-2:] == [
        "--expect-words=Tuesday",
        "--expect-words=Wednesday",
    ]


def test_each_state_of_the_service_is_tested_once() -> None:
    assert re.fullmatch("smoke-test-[0-9a-f]{12}", name(smoke_test()))
    assert name(smoke_test()) == name(smoke_test({"replicas": {"max": 4}}))
    other = {"prompt": "Else?", "outputLength": 1, "expectedTokenIds": [1]}
    assert name(smoke_test()) != name(smoke_test({"golden": other}))


def test_the_address_is_read_once_the_service_has_answered() -> None:
    recording = made("SmokeTest")
    (read,) = [it for it in recording.resources if it.read]
    assert read.inputs == {"id": "models/it"}
    assert recording.outputs["it"] == {"url": URL}


def collection(changes: dict[str, Any] | None = None) -> list[Registered]:
    return made("ReleaseCollection", config(CPU, changes)).of(":Job")


def test_the_served_release_and_the_newest_others_are_kept() -> None:
    (job,) = collection({"storage.keepReleases": 5})
    release = config(CPU).release.name
    assert container(job)["args"] == [
        "prune",
        "--storage=/mnt/models",
        f"--keep={release}",
        "--newest=4",
    ]


def test_nothing_is_collected_from_a_volume_that_the_server_has_to_itself() -> None:
    alone = {"storage.accessMode": "ReadWriteOnce", "scheduling.spareGpu": False}
    assert collection(alone) == []


def test_diagnosis_tells_each_job_by_its_labels() -> None:
    jobs = {
        JobRole.DOWNLOAD: download(),
        JobRole.DOWNLOAD_GATE: download_gate(),
        JobRole.SMOKE_TEST: smoke_test(),
        JobRole.COLLECTION: collection()[0],
    }
    assert {role: role_of(job.inputs, "it") for role, job in jobs.items()} == {
        role: role for role in JobRole
    }
    assert role_of(smoke_test().inputs, "another") is None, "it tells nothing of another service"
    assert prepares(download().inputs, config(CPU).release.name)


def test_labels_of_jobs_leave_their_pods_those_that_network_policies_select_by() -> None:
    templates = [it.inputs["spec"]["template"] for it in (download(), smoke_test())]
    assert [it["metadata"]["labels"][ROLE] for it in templates] == ["weights", "gate"]
