"""The Jobs: the model download, the gate that waits for it, and the smoke test."""

import re
from typing import Any

from ft_serving.cluster.job_labels import JobRole, prepares, role_of
from operations.recording.recorder import Registered
from tests.components.program import CPU_STACK, made
from tests.stacks.documents import CPU, VLLM, config


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


def test_each_end_comes_before_that_of_who_waits_for_it() -> None:
    ends = [it.inputs["spec"]["activeDeadlineSeconds"] for it in (download(), download_gate())]
    patience = CPU_STACK.job_deadline_s + 60
    assert ends[0] < patience < ends[1], "whoever knows most has to speak first"


def test_the_hub_is_in_the_environment_and_its_token_in_a_secret() -> None:
    changes = {"hub": {"endpoint": "http://mirror"}}
    for job in (download(changes), smoke_test(changes)):
        assert container(job)["env"] == [{"name": "HF_ENDPOINT", "value": "http://mirror"}]


def test_only_the_download_may_write_the_volume() -> None:
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
    one_node = {"storage.accessMode": "ReadWriteOnce", "scheduling.spareGpu": False}
    (wish,) = pod(download(one_node))["affinity"]["podAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert wish["podAffinityTerm"] == {
        "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "server"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    assert "affinity" not in pod(smoke_test(one_node)), "it mounts nothing"


def test_each_state_of_the_service_is_tested_once() -> None:
    assert re.fullmatch("smoke-test-[0-9a-f]{12}", name(smoke_test()))
    assert name(smoke_test()) == name(smoke_test({"replicas": {"max": 4}}))
    other = {"prompt": "Else?", "outputLength": 1, "expectedTokenIds": [1]}
    assert name(smoke_test()) != name(smoke_test({"golden": other}))


def collection(changes: dict[str, Any] | None = None) -> list[Registered]:
    return made("ReleaseCollection", config(CPU, changes)).of(":Job")


def test_nothing_is_collected_from_a_volume_that_the_server_has_to_itself() -> None:
    one_node = {"storage.accessMode": "ReadWriteOnce", "scheduling.spareGpu": False}
    assert collection(one_node) == []


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
