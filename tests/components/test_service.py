"""The InferenceService: what each setting of a stack becomes."""

from pathlib import Path
from typing import Any

import pytest

from components.inference_service import InferenceService, InferenceServiceArgs
from components.storage import CACHES, MOUNT, RELEASES
from ft_serving.core import storage
from ft_serving.core.storage import Storage
from operations.recording.recorder import Registered, record
from tests.components.program import COMPONENTS, IDENTITY, IMAGE, made
from tests.stacks.documents import CPU, GPU, VLLM, Document, config


def service(document: Document, changes: dict[str, Any] | None = None) -> Registered:
    return made("InferenceService", config(document, changes)).one("v1beta1:InferenceService")


def predictor(document: Document, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(service(document, changes).inputs["spec"]["predictor"])


def container(document: Document, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    (only,) = predictor(document, changes)["containers"]
    return dict(only)


def test_people_type_its_name() -> None:
    assert service(CPU).inputs["metadata"]["name"] == "fastertransformer-triton"


def test_kserve_renames_no_container() -> None:
    assert container(CPU)["name"] == "kserve-container"


def test_the_release_is_served_from_a_mount_that_nobody_writes_to() -> None:
    release = config(CPU).release.name
    assert container(CPU)["args"] == [
        f"--model-repository=/mnt/models/triton-model-store/{release}"
    ]
    mount = {"name": "models", "mountPath": "/mnt/models", "readOnly": True}
    assert mount in container(CPU)["volumeMounts"]
    claim = {"name": "models", "persistentVolumeClaim": {"claimName": "claim", "readOnly": True}}
    assert claim in predictor(CPU)["volumes"]


def test_releases_and_caches_lie_where_the_job_puts_them() -> None:
    volume = Storage(Path(MOUNT))
    assert (str(volume.releases), CACHES) == (RELEASES, storage.CACHES)


def test_what_a_server_compiles_outlives_it_and_is_all_that_it_may_write() -> None:
    stack = config(VLLM)
    mounts = [it for it in container(VLLM)["volumeMounts"] if it["name"] == "models"]
    assert mounts == [
        {"name": "models", "mountPath": "/mnt/models", "readOnly": True},
        {
            "name": "models",
            "mountPath": "/var/cache/ft-serving",
            "subPath": f"caches/{stack.release.name}",
        },
    ]
    claim = {"name": "models", "persistentVolumeClaim": {"claimName": "claim"}}
    assert claim in predictor(VLLM)["volumes"], "of a read-only one no folder can be written"
    env = {it["name"]: it["value"] for it in container(VLLM)["env"]}
    assert env["FT_SERVING_CACHE"] == f"/var/cache/ft-serving/{stack.cache_key}"
    assert env["FT_SERVING_BATCH"] == "4"


def test_shared_memory_is_larger_than_a_container_has() -> None:
    volumes = {it["name"]: it for it in predictor(GPU)["volumes"]}
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "256Mi"}
    mounts = {it["name"]: it["mountPath"] for it in container(GPU)["volumeMounts"]}
    assert mounts["shared-memory"] == "/dev/shm"  # noqa: S108 - the container's


def test_a_replica_has_a_gpu_for_each_rank() -> None:
    changes = {"gpu.type": "A100_40GB", "gpu.tensorParallel": 4, "gpu.pipelineParallel": 2}
    resources = container(GPU, changes)["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == "8"
    assert resources["requests"] == resources["limits"]
    assert "nvidia.com/gpu" not in container(CPU)["resources"]["limits"]


@pytest.mark.parametrize(("cpu", "threads"), [("500m", "1"), ("3", "3"), ("2500m", "2")])
def test_the_cpu_engine_has_the_threads_of_its_quota(cpu: str, threads: str) -> None:
    env = container(CPU, {"resources": {"cpu": cpu}})["env"]
    assert env == [{"name": "OPENBLAS_NUM_THREADS", "value": threads}]
    assert container(GPU)["env"] == []


def test_nodes_are_chosen_by_gpu_and_region() -> None:
    changes = {"scheduling": {"nodeLabels": "coreweave", "region": "LAS1"}}
    (term,) = predictor(GPU, changes)["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "gpu.nvidia.com/class", "operator": "In", "values": ["RTX_A5000"]},
        {"key": "topology.kubernetes.io/region", "operator": "In", "values": ["LAS1"]},
    ]
    assert "affinity" not in predictor(CPU)


def test_taints_are_tolerated() -> None:
    taint = {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}
    changes = {"scheduling": {"tolerations": [taint, {"key": "other"}]}}
    assert predictor(GPU, changes)["tolerations"] == [
        taint,
        {"key": "other", "operator": "Exists"},
    ]


def test_grpc_is_named_as_knative_wants_it_and_is_asked_by_tcp() -> None:
    grpc = container(CPU, {"serving.protocol": "grpc"})
    assert grpc["ports"] == [{"name": "h2c", "containerPort": 8001, "protocol": "TCP"}]
    assert grpc["readinessProbe"]["tcpSocket"] == {"port": 8001}
    standard = container(CPU, {"serving.protocol": "grpc", "serving.mode": "Standard"})
    assert standard["startupProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8000}
    http = container(CPU)
    assert http["ports"] == [{"name": "http1", "containerPort": 8000, "protocol": "TCP"}]
    assert http["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8000}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_knative_is_given_no_probe_of_another_port(protocol: str) -> None:
    found = container(CPU, {"serving.protocol": protocol})
    (port,) = found["ports"]
    for probe in (found["readinessProbe"], found["livenessProbe"]):
        ((kind, asked),) = [it for it in probe.items() if it[0] in ("httpGet", "tcpSocket")]
        assert asked["port"] == port["containerPort"], (
            "Knative asks the service's port all the same"
        )
        assert kind == {"http": "httpGet", "grpc": "tcpSocket"}[protocol]


def test_a_slow_load_is_no_reason_to_end_a_server() -> None:
    budget = {"coldStart": {"budgetSeconds": 500}}
    serverless = container(CPU, budget)
    assert serverless["livenessProbe"]["initialDelaySeconds"] == 500
    assert "startupProbe" not in serverless, "with one, Knative's activator wakes it up slower"
    standard = container(CPU, {**budget, "serving.mode": "Standard"})
    startup = standard["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 500
    assert "initialDelaySeconds" not in standard["livenessProbe"]


def test_one_budget_sets_knatives_timeouts() -> None:
    found = predictor(CPU, {"coldStart": {"budgetSeconds": 900}})
    assert found["annotations"]["serving.knative.dev/progress-deadline"] == "930s"
    assert found["timeout"] == 600, "Knative refuses more"


def test_a_service_that_sleeps_is_started_once_to_be_tested() -> None:
    key = "autoscaling.knative.dev/initial-scale"
    assert predictor(CPU, {"replicas": {"min": 0}})["annotations"][key] == "1"
    assert key not in predictor(CPU)["annotations"]


def test_a_service_that_is_not_public_is_kept_from_the_ingress_in_either_mode() -> None:
    def labels(mode: str, public: bool) -> set[tuple[str, str]]:
        changes = {"serving.mode": mode, "serving.public": public}
        return set(service(CPU, changes).inputs["metadata"]["labels"].items())

    for mode, key in (
        ("Serverless", "networking.knative.dev/visibility"),
        ("Standard", "networking.kserve.io/visibility"),
    ):
        assert labels(mode, public=False) - labels(mode, public=True) == {(key, "cluster-local")}


def test_scaling_is_what_the_stack_says() -> None:
    replicas = {"min": 2, "max": 5, "scaleMetric": "rps", "scaleTarget": 7}
    found = predictor(CPU, {"replicas": {**replicas, "containerConcurrency": 3}})
    assert (found["minReplicas"], found["maxReplicas"]) == (2, 5)
    assert (found["scaleMetric"], found["scaleTarget"]) == ("rps", 7)
    assert found["containerConcurrency"] == 3


def test_standard_mode_has_nothing_of_knative() -> None:
    changes = {"serving.mode": "Standard"}
    metadata = service(CPU, changes).inputs["metadata"]
    assert metadata["annotations"] == {
        "pulumi.com/patchForce": "true",
        "serving.kserve.io/deploymentMode": "Standard",
    }
    found = predictor(CPU, changes)
    assert found.keys().isdisjoint({"annotations", "timeout", "containerConcurrency"})


def test_a_deleted_pod_of_a_deployment_answers_until_nobody_sends_it_requests() -> None:
    standard = {"serving.mode": "Standard"}
    assert container(CPU, standard)["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    # And then Triton's own 30 s for the requests that it has.
    assert predictor(CPU, standard)["terminationGracePeriodSeconds"] > 5 + 30
    assert "lifecycle" not in container(CPU), "Knative refuses it, and has a hook of its own"
    assert "terminationGracePeriodSeconds" not in predictor(CPU)


def test_without_a_spare_gpu_the_old_replica_ends_first() -> None:
    spare: dict[str, Any] = {}
    none = {"scheduling": {"spareGpu": False}}
    standard = {"serving.mode": "Standard"}
    assert predictor(GPU, none | standard)["deploymentStrategy"] == {"type": "Recreate"}
    assert "deploymentStrategy" not in predictor(GPU, spare | standard)
    assert list(service(GPU, none).request.replaceOnChanges) == ["metadata.annotations", "spec"], (
        "every change of a Knative service is a revision beside the old one"
    )
    assert list(service(GPU, spare).request.replaceOnChanges) == ["metadata.annotations"], (
        "KServe refuses another mode, and that alone"
    )
    assert service(GPU, none).request.deleteBeforeReplace


def test_its_state_changes_with_every_change_and_with_nothing_else() -> None:
    def state(changes: dict[str, Any]) -> str:
        return str(made("InferenceService", config(CPU, changes)).outputs["it"]["state"])

    changes: list[dict[str, Any]] = [{}, {"replicas": {"max": 3}}, {"serving.protocol": "grpc"}]
    states = [state(it) for it in changes]
    assert len(set(states)) == len(changes)
    assert state({}) == states[0]
    assert state({"hub": {"endpoint": "http://elsewhere"}}) == states[0]


def test_pulumi_does_not_wait_for_it() -> None:
    annotations = service(CPU).inputs["metadata"]["annotations"]
    assert "pulumi.com/waitFor" not in annotations, "the gate waits, and says why it is not ready"


def test_it_comes_after_what_it_is_told_to() -> None:
    def program() -> None:
        first = COMPONENTS["ModelDownload"]("first", config(CPU))
        InferenceService(
            "it",
            InferenceServiceArgs(
                config=config(CPU), identity=IDENTITY, image=IMAGE, claim="claim", after=(first,)
            ),
        )

    assert "first" in record(program).one("v1beta1:InferenceService").dependencies
