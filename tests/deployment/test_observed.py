"""Reports of a deployed stack: `diagnose`, `preview --live`, metrics for Prometheus."""

import json
import time
from collections.abc import Mapping
from typing import Any

import psutil
import pytest
from kubernetes.dynamic import DynamicClient

from components.kserve import NAME
from operations.preview.compare import compare
from operations.preview.formats import as_json, markdown, text
from operations.preview.rendered import resources_of
from operations.preview.summary import StackSummary, Summary, live_summary
from operations.recording.listing import listing
from tests.components.program import program
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.monitoring.files import KNATIVE, KUBELET, TRITON, documents, exposed, metrics
from tests.monitoring.relabelling import targets
from tests.platform.cluster import Namespace
from tests.stacks.documents import ROOT

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

SECRET = "hunter2-and-more"


def test_a_sound_deployment_is_told_on_one_screen(deployment: Deployment) -> None:
    code, screen = deployment.diagnose()
    outputs = deployment.outputs()
    assert code == 0, screen
    lines = screen.splitlines()
    assert lines[0] == f"{deployment.namespace}/{NAME}  READY"
    assert len(lines) <= 40
    for told in (
        outputs["host"],
        outputs["release"],
        deployment.source(),
        "fp32 weights, computed in fp32, tensor parallel 1",
    ):
        assert told in screen
    report = json.loads(deployment.diagnose("--json")[1])
    assert [(job["role"], job["phase"]) for job in report["jobs"]] == [
        ("model download", "succeeded"),
        ("its gate", "succeeded"),
        ("smoke test", "succeeded"),
        ("release collection", "succeeded"),
    ]
    assert report["image"] == outputs["serverImage"]
    api, server = report["revisions"]
    assert [api["name"], server["name"]] == [
        f"{NAME}-{part}-00001" for part in ("transformer", "predictor")
    ]
    for revision in (api, server):
        assert (revision["wanted"], revision["ready"], revision["traffic"]) == (1, 1, 100)
    (claim,) = report["claims"]
    assert (claim["name"], claim["phase"]) == ("ft-serving-models", "Bound")


def live(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> StackSummary:
    """Return what `ft-serving preview --live` shows."""
    for name, value in deployment.cli.environment.items():
        monkeypatch.setenv(name, value)
    before = deployment.settings_file.read_text()
    summary = live_summary(ROOT, deployment.stack, deployment.settings_file)
    assert deployment.settings_file.read_text() == before
    return summary


Done = set[tuple[str, str, str]]


def done(summary: StackSummary) -> Done:
    assert not summary.refused, summary.refused
    return {(it.action.value, it.resource.kind, it.resource.name) for it in summary.changes}


def foretold(before: Mapping[str, Any], after: Mapping[str, Any]) -> Done:
    """Return the same from what the program makes of settings."""
    states = (resources_of(listing(program("dev", it))) for it in (before, after))
    return {(it.action.value, it.resource.kind, it.resource.name) for it in compare(*states)}


def test_a_preview_of_a_stack_that_is_not_deployed_makes_nothing_and_shows_no_secret(
    new_stack: Deploy, api: DynamicClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = new_stack({"image.username": "me"})
    stack.set_secret("registryPassword", SECRET)
    summary = live(stack, monkeypatch)
    assert {action for action, _, _ in done(summary)} == {"create"}
    assert ("create", "InferenceService", "inference-service") in done(summary)
    assert ("create", "Secret", "access-registry") in done(summary)
    whole = Summary(against="the live state", stacks=(summary,))
    for written in (text(whole), markdown(whole), as_json(whole)):
        assert SECRET not in written
    assert not stack.namespace_exists(api)


def test_a_live_preview_agrees_with_one_without_pulumi(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, state = deployment.settings, deployment.state()
    change = {
        "serving.mode": "Standard",
        "storage.size": "2Gi",
        "hub.endpoint": "http://elsewhere",
    }
    with deployment.changed(change):
        summary = live(deployment, monkeypatch)
        assert done(summary) == foretold(settings, deployment.settings)
        assert ("replace", "InferenceService", "inference-service") in done(summary)
        (warning,) = summary.warnings
        assert warning.startswith(f"InferenceService `{NAME}` would be replaced. DOWNTIME: ")
    # Pulumi's plugin tries the new claim on the API server, which refuses it: no `up` can lose the
    # weights so.
    with deployment.changed({"storage.storageClass": "other"}):
        assert "spec is immutable after creation" in live(deployment, monkeypatch).refused
    with deployment.changed({"gpu.type": "K80", "storage.size": "none"}):
        refused = live(deployment, monkeypatch).refused.splitlines()
    assert refused[0].startswith("The configuration cannot be deployed")
    assert [line.partition(":")[0] for line in refused[1:]] == ["gpu.type", "storage.size"]
    assert deployment.state() == state


def scrape(api: DynamicClient, path: str) -> str:
    """Return what the API server answers, as text."""
    answer = api.request("get", path, header_params={"Accept": "text/plain"}, serialize=False)
    return str(answer.data.decode())


def of_job(api: DynamicClient, namespace: str, job: str) -> tuple[Mapping[str, str], str]:
    """Return the one target that a scrape job of ours finds in a namespace, and its metrics."""
    (configuration,) = documents("prometheus.yaml")
    steps = {it["job_name"]: it["relabel_configs"] for it in configuration["scrape_configs"]}
    (target,) = targets(Namespace(api, namespace).items("v1/Pod"), steps[job])
    port = target["__address__"].rpartition(":")[2]
    where = f"/api/v1/namespaces/{namespace}/pods/{target['pod']}:{port}/proxy/metrics"
    return target, scrape(api, where)


def used(*prefixes: str) -> set[str]:
    """Return the metrics that alerts and dashboard use, by the beginning of their names."""
    return {it for it in metrics() if it.startswith(prefixes) and "_gpu_" not in it}


def test_prometheus_finds_the_server_its_queue_and_the_autoscaler_with_all_that_is_used_of_them(
    deployment: Deployment, api: DynamicClient
) -> None:
    deployment.ask("Mary has a little lamb.", 4)
    found = ""
    for job in ("ft-serving-server", "ft-serving-queue"):
        target, told = of_job(api, deployment.namespace, job)
        assert target["namespace"] == deployment.namespace
        assert target["inference_service"] == NAME
        assert target["revision"].startswith(f"{NAME}-predictor-")
        found += told
    assert used("kn_serving_", *TRITON) - exposed(found) == set()
    assert 'http_response_status_code="200"' in found, "errors are told by it"
    target, told = of_job(api, deployment.namespace, "ft-serving-openai")
    assert target["revision"].startswith(f"{NAME}-transformer-")
    assert "openai_requests_total" in exposed(told)

    _, told = of_job(api, "knative-serving", "ft-serving-autoscaler")
    ours = f'k8s_namespace_name="{deployment.namespace}"'
    lines = "\n".join(line for line in told.splitlines() if ours in line)
    assert used(f"{KNATIVE}revision_") - exposed(lines) == set()
    assert f'kn_service_name="{NAME}-predictor"' in lines


def test_the_nodes_tell_how_full_the_volume_is(deployment: Deployment, api: DynamicClient) -> None:
    (node,) = api.resources.get(api_version="v1", kind="Node").get().items
    path = f"/api/v1/nodes/{node.metadata.name}/proxy/metrics"
    ours = (f'namespace="{deployment.namespace}"', 'persistentvolumeclaim="ft-serving-models"')
    # Kubelets look at their volumes once a minute.
    deadline = time.monotonic() + 90
    while True:
        lines = (line for line in scrape(api, path).splitlines() if all(it in line for it in ours))
        missing = used(KUBELET) - exposed("\n".join(lines))
        if not missing:
            return
        assert time.monotonic() < deadline, missing
        time.sleep(2)


def test_no_program_is_the_first_process_of_its_container(deployment: Deployment) -> None:
    assert deployment.is_right()
    found = psutil.process_iter(["cmdline"])
    commands = [" ".join(process.info["cmdline"] or ()) for process in found]
    for child in ("tritonserver/bin/tritonserver", "ft-serving/bin/python /opt/ft-serving/bin"):
        assert any(f"/bin/as-child /opt/{child}" in it for it in commands), (
            "the kernel drops a SIGTERM that a container's first process does not handle yet"
        )
