"""The InferenceService: what each setting of a stack becomes."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.storage import CACHES, MOUNT, RELEASES
from ft_serving.core import storage
from ft_serving.core.storage import Storage
from operations.recording.recorder import Registered
from tests.components.program import made
from tests.stacks.documents import CPU, GPU, Document, config


def service(document: Document, changes: dict[str, Any] | None = None) -> Registered:
    return made("InferenceService", config(document, changes)).one("v1beta1:InferenceService")


def predictor(document: Document, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(service(document, changes).inputs["spec"]["predictor"])


def container(document: Document, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    (only,) = predictor(document, changes)["containers"]
    return dict(only)


def test_releases_and_caches_lie_where_the_job_puts_them() -> None:
    volume = Storage(Path(MOUNT))
    assert (str(volume.releases), CACHES) == (RELEASES, storage.CACHES)


@pytest.mark.parametrize(("cpu", "threads"), [("500m", "1"), ("3", "3"), ("2500m", "2")])
def test_the_cpu_engine_has_the_threads_of_its_quota(cpu: str, threads: str) -> None:
    env = container(CPU, {"resources": {"cpu": cpu}})["env"]
    assert env == [{"name": "OPENBLAS_NUM_THREADS", "value": threads}]
    assert container(GPU)["env"] == []


def test_grpc_is_named_as_knative_wants_it_and_is_asked_by_tcp() -> None:
    grpc = container(CPU, {"serving.protocol": "grpc"})
    assert grpc["ports"] == [{"name": "h2c", "containerPort": 8001, "protocol": "TCP"}]
    assert grpc["readinessProbe"]["tcpSocket"] == {"port": 8001}
    standard = container(CPU, {"serving.protocol": "grpc", "serving.mode": "Standard"})
    assert standard["startupProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8000}
    http = container(CPU)
    assert http["ports"] == [{"name": "http1", "containerPort": 8000, "protocol": "TCP"}]
    assert http["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8000}


def test_a_slow_load_is_no_reason_to_end_a_server() -> None:
    budget = {"coldStart": {"budgetSeconds": 500}}
    serverless = container(CPU, budget)
    assert serverless["livenessProbe"]["initialDelaySeconds"] == 500
    assert "startupProbe" not in serverless, "with one, Knative's activator wakes it up slower"
    standard = container(CPU, {**budget, "serving.mode": "Standard"})
    startup = standard["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 500
    assert "initialDelaySeconds" not in standard["livenessProbe"]


def test_a_service_that_is_not_public_is_kept_from_the_ingress_in_either_mode() -> None:
    def labels(mode: str, public: bool) -> set[tuple[str, str]]:
        changes = {"serving.mode": mode, "serving.public": public}
        return set(service(CPU, changes).inputs["metadata"]["labels"].items())

    for mode, key in (
        ("Serverless", "networking.knative.dev/visibility"),
        ("Standard", "networking.kserve.io/visibility"),
    ):
        assert labels(mode, public=False) - labels(mode, public=True) == {(key, "cluster-local")}


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
    assert list(service(GPU, none).request.replaceOnChanges) == [
        "metadata.annotations",
        "spec.predictor",
    ], "every change of a Knative service is a revision beside the old one"
    assert list(service(GPU, spare).request.replaceOnChanges) == ["metadata.annotations"], (
        "KServe refuses only another mode"
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


OPENAI = {"serving.openai": True, "replicas": {"min": 0, "max": 3}}


def api(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The OpenAI API's pods, of a stack that serves it."""
    return dict(service(CPU, OPENAI | (changes or {})).inputs["spec"]["transformer"])


def test_the_api_scales_as_the_server_does_and_leaves_the_limit_of_requests_to_it() -> None:
    server, pods = predictor(CPU, OPENAI), api()
    alike = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "annotations", "timeout")
    assert {name: pods[name] for name in alike} == {name: server[name] for name in alike}
    assert pods["containerConcurrency"] == 0 < server["containerConcurrency"]
    standard = api({"serving.mode": "Standard", "replicas": {"max": 3}})
    assert standard.keys().isdisjoint({"annotations", "timeout", "containerConcurrency"})


def test_network_policies_tell_the_api_from_the_server() -> None:
    own = service(CPU, OPENAI).inputs["metadata"]["labels"]
    part = "app.kubernetes.io/component"
    assert (own[part], api()["labels"][part]) == ("server", "openai")
    assert "transformer" not in service(CPU).inputs["spec"]


def test_the_api_is_started_without_the_arguments_that_kserve_adds(tmp_path: Path) -> None:
    command = tmp_path / "ft-serving"
    command.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    command.chmod(0o755)
    pods = api({"serving.chatTemplate": "{{ messages }}", "coldStart": {"budgetSeconds": 100}})
    (container,) = pods["containers"]
    added = ["--model_name", "it", "--predictor_host", "it-predictor.models", "--workers", "8"]
    done = subprocess.run(
        [*container["command"], *container.get("args", []), *added],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    release = config(CPU, OPENAI).release.name
    assert done.stdout.splitlines() == [
        "openai",
        "--host=0.0.0.0",
        "--port=8080",
        "--url=http://fastertransformer-triton-predictor.ft-serving",
        "--model=tiny-gptj",
        f"--tokenizer={RELEASES}/{release}/fastertransformer/1",
        "--wait=100",
        "--timeout=300",
        "--chat-template=/etc/ft-serving/chat-template.jinja",
    ]
    mounts = {it["mountPath"] for it in container["volumeMounts"]}
    assert {MOUNT, "/etc/ft-serving"} < mounts
    template = made("OpenAIApi", config(CPU, OPENAI | {"serving.chatTemplate": "{{ messages }}"}))
    assert template.one(":ConfigMap").inputs["data"] == {"chat-template.jinja": "{{ messages }}"}
