"""What is waited for, for how long, and what is said when it fails."""

import signal
import threading
import time
from collections.abc import Callable

import pytest

from local_platform import settings
from local_platform.addons.debian import base_image
from tests.conformance.cluster import Namespace
from tests.conformance.stack import Stack

pytestmark = [pytest.mark.platform, pytest.mark.slow]

JOB = """
    import pulumi, pulumi_kubernetes as k
    job = k.batch.v1.Job(
        "gate",
        metadata={{"name": "gate", "namespace": "{namespace}"}},
        spec={{
            "backoffLimit": 0,
            "template": {{"spec": {{
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "containers": [{{
                    "name": "gate",
                    "image": "{image}",
                    "command": ["sh", "-c", {script!r}],
                }}],
            }}}},
        }},
        opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="{seconds}s")))
    pulumi.export("succeeded", job.status["succeeded"])
"""

CLAIM = """
    import pulumi, pulumi_kubernetes as k
    claim = k.core.v1.PersistentVolumeClaim(
        "claim",
        metadata={{"name": "claim", "namespace": "{namespace}", "annotations": {annotations}}},
        spec={{
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "{storage_class}",
            "resources": {{"requests": {{"storage": "{size}"}}}},
        }},
        opts=pulumi.ResourceOptions(retain_on_delete={retain}))
    pulumi.export("phase", claim.status["phase"])
"""

DEPLOYMENT = """
    import pulumi, pulumi_kubernetes as k
    labels = {{"app": "web"}}
    web = k.apps.v1.Deployment(
        "web",
        metadata={{"name": "web", "namespace": "{namespace}"}},
        spec={{
            "selector": {{"matchLabels": labels}},
            "progressDeadlineSeconds": {deadline},
            "strategy": {{"type": "Recreate"}},
            "template": {{
                "metadata": {{"labels": labels}},
                "spec": {{
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{{
                        "name": "web",
                        "image": "{image}",
                        "command": ["sh", "-c", {script!r}],
                        "readinessProbe": {{
                            "exec": {{"command": ["test", "-e", "/tmp/ready"]}},
                            "periodSeconds": 1,
                        }},
                        "resources": {{"requests": {{"cpu": "{cpu}"}}}},
                    }}],
                }},
            }},
        }})
    k.core.v1.Service(
        "address",
        metadata={{"name": "web", "namespace": "{namespace}"}},
        spec={{"selector": labels, "ports": [{{"port": 80}}]}})
    pulumi.export("available", web.status["available_replicas"])
"""

DEFINITION = """
    import pulumi, pulumi_kubernetes as k
    definition = k.apiextensions.v1.CustomResourceDefinition(
        "gadgets",
        metadata={{"name": "gadgets.{group}"}},
        spec={{
            "group": "{group}",
            "scope": "Namespaced",
            "names": {{"kind": "Gadget", "plural": "gadgets", "singular": "gadget"}},
            "versions": [{{
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {{"status": {{}}}},
                "schema": {{"openAPIV3Schema": {{
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": True,
                }}}},
            }}],
        }})
    gadget = k.apiextensions.CustomResource(
        "gadget",
        api_version="{group}/v1",
        kind="Gadget",
        metadata={{
            "name": "gadget",
            "namespace": "{namespace}",
            "annotations": {{"pulumi.com/waitFor": {wait_for!r}}},
        }},
        spec={{"colour": "red"}},
        opts=pulumi.ResourceOptions(
            depends_on=[definition],
            custom_timeouts=pulumi.CustomTimeouts(create="60s", update="60s")))
"""


SERVICE = """
    import pulumi, pulumi_kubernetes as k
    gate = k.batch.v1.Job(
        "gate",
        metadata={{"name": "gate", "namespace": "{namespace}"}},
        spec={{"template": {{"spec": {{
            "restartPolicy": "Never",
            "containers": [{{"name": "gate", "image": "{image}", "command": ["true"]}}],
        }}}}}})
    service = k.apiextensions.CustomResource(
        "service",
        api_version="serving.kserve.io/v1beta1",
        kind="InferenceService",
        metadata={{
            "name": "files",
            "namespace": "{namespace}",
            "annotations": {{"pulumi.com/waitFor": "condition=Ready"}},
        }},
        spec={{"predictor": {{"minReplicas": 1, "containers": [{{
            "name": "kserve-container",
            "image": "{image}",
            "command": ["python3", "-c", {server!r}],
            "ports": [{{"containerPort": 8080}}],
        }}]}}}},
        opts=pulumi.ResourceOptions(
            depends_on=[gate], custom_timeouts=pulumi.CustomTimeouts(create="180s")))
"""


# The first process of a container ignores SIGTERM unless it says otherwise, and Knative gives it
# five minutes to end.
SERVER = (
    "import http.server, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); "
    "http.server.test(port=8080)"
)


@pytest.fixture(scope="module")
def image() -> str:
    """An image with a shell."""
    return base_image(print)


def job(namespace: Namespace, image: str, script: str, seconds: int = 120) -> str:
    return JOB.format(namespace=namespace.name, image=image, script=script, seconds=seconds)


def claim(namespace: Namespace, size: str = "1Mi", **given: object) -> str:
    values: dict[str, object] = {
        "annotations": {},
        "storage_class": settings.STORAGE_CLASS,
        "retain": False,
        **given,
    }
    return CLAIM.format(namespace=namespace.name, size=size, **values)


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)


def test_a_job_is_awaited_until_it_succeeds(stack: Stack, namespace: Namespace, image: str) -> None:
    program = job(namespace, image, "sleep 2")

    report = stack.up(program)

    assert report.succeeded, report.messages
    assert 'Waiting for Job "' in report.messages
    assert "Succeeded: 0 | Failed: 0)" in report.messages
    assert stack.outputs()["succeeded"] == 1
    assert stack.up(program).operations("gate") == ["same"]
    assert stack.destroy().succeeded
    assert namespace.names("job") == []
    assert namespace.names("pod") == [], "deletion is in the foreground: its pods go first"


def test_a_failed_job_tells_why_stays_in_the_state_and_is_replaced_when_changed(
    stack: Stack, namespace: Namespace, image: str
) -> None:
    script = "echo first line; echo 'ROOT CAUSE: no such model' > /dev/termination-log; exit 3"

    report = stack.up(job(namespace, image, script))

    assert not report.succeeded
    assert "[Pod gate-" in report.messages
    assert "[Error] ROOT CAUSE: no such model" in report.messages
    assert "[BackoffLimitExceeded]" in report.messages
    assert stack.resource("gate")["initErrors"], "the failed Job is in the state"

    assert stack.preview(job(namespace, image, "true")).succeeded
    report = stack.up(job(namespace, image, "true"))

    assert report.operations("gate") == ["delete-replaced", "replace", "create-replacement"]
    assert next(step for step in report.steps if step.operation == "replace").diffs == ["spec"]
    assert report.succeeded, report.messages
    assert "initErrors" not in stack.resource("gate")


def test_an_inference_service_is_awaited_after_its_gate_and_gone_after_destroy(
    stack: Stack, namespace: Namespace, image: str
) -> None:
    program = SERVICE.format(namespace=namespace.name, image=image, server=SERVER)

    report = stack.up(program)

    assert report.succeeded, report.messages
    assert [step.name for step in report.steps] == ["gate", "service"]
    assert "Resource has condition Ready=" in report.messages
    status = stack.resource("service")["outputs"]["status"]
    assert {"type": "Ready", "status": "True"}.items() <= next(
        condition for condition in status["conditions"] if condition["type"] == "Ready"
    ).items()
    report = stack.up(program)
    assert [step.operation for step in report.steps] == ["same", "same"]
    assert stack.refresh().succeeded
    assert stack.up(program).operations("service") == ["same"], "defaults are no drift"
    assert stack.destroy().succeeded
    assert namespace.names("inferenceservice") == []
    assert namespace.names("job") == []


def test_a_claim_is_awaited_until_it_is_bound(stack: Stack, namespace: Namespace) -> None:
    assert stack.up(claim(namespace)).succeeded
    assert stack.outputs()["phase"] == "Bound"
    assert stack.up(claim(namespace)).operations("claim") == ["same"]
    notation = claim(namespace, size="1024Ki")
    assert stack.up(notation).operations("claim") == ["same"], "it is the same quantity"


def test_a_retained_claim_outlives_its_stack_and_is_taken_over(
    stack: Stack, namespace: Namespace
) -> None:
    program = claim(namespace, retain=True)
    stack.up(program)
    uid = namespace.get("pvc", "claim")["metadata"]["uid"]

    assert stack.destroy().succeeded
    assert namespace.get("pvc", "claim")["status"]["phase"] == "Bound"
    assert stack.up(program).operations("claim") == ["create"]
    assert namespace.get("pvc", "claim")["metadata"]["uid"] == uid
    assert stack.outputs()["phase"] == "Bound"


def test_a_claim_grows_in_place_and_is_replaced_for_all_else(
    stack: Stack, namespace: Namespace
) -> None:
    stack.up(claim(namespace))

    assert stack.preview(claim(namespace, size="2Mi")).operations("claim") == ["update"]
    report = stack.preview(claim(namespace, storage_class="other"))
    assert report.succeeded, report.messages
    assert "replace" in report.operations("claim")


def test_time_is_up_for_a_claim_that_nothing_binds(stack: Stack, namespace: Namespace) -> None:
    annotations = {"pulumi.com/timeoutSeconds": "3"}

    begin = time.monotonic()
    report = stack.up(claim(namespace, storage_class="none", annotations=annotations))

    assert not report.succeeded
    assert time.monotonic() - begin < 60
    assert f"{namespace.name}/claim" in report.messages
    assert stack.resource("claim")["initErrors"]


def test_what_skips_waiting_is_not_awaited(stack: Stack, namespace: Namespace) -> None:
    annotations = {"pulumi.com/skipAwait": "true"}

    report = stack.up(claim(namespace, storage_class="none", annotations=annotations))

    assert report.succeeded, report.messages


def test_a_deployment_is_awaited_and_its_failure_explained(
    stack: Stack, namespace: Namespace, image: str
) -> None:
    good = {
        "namespace": namespace.name,
        "image": image,
        "cpu": "0.01",
        "script": "touch /tmp/ready; sleep 600",
        "deadline": 120,
    }
    bad = {**good, "script": "echo BAD MODEL; exit 4", "deadline": 30}

    report = stack.up(DEPLOYMENT.format(**good))

    assert report.succeeded, report.messages
    assert stack.outputs()["available"] == 1
    assert stack.up(DEPLOYMENT.format(**{**good, "cpu": "10m"})).operations("web") == ["same"], (
        "0.01 and 10m are the same quantity"
    )

    report = stack.up(DEPLOYMENT.format(**bad))

    assert not report.succeeded
    assert "[Pod web-" in report.messages
    assert "update" in report.operations("web")


def test_a_custom_resource_is_awaited_as_its_annotation_says(
    stack: Stack, namespace: Namespace
) -> None:
    group = f"{namespace.name}.example.org"
    program = DEFINITION.format(
        namespace=namespace.name,
        group=group,
        wait_for='["condition=Ready", "jsonpath={.status.url}"]',
    )
    assert stack.preview(program).succeeded, "the kind is not served before `up`"

    def controller() -> None:
        kind = f"gadgets.{group}"
        wait_until(lambda: namespace.find("crd", kind), "the kind")
        # Established is not yet told to who asks for the kinds there are.
        kinds = ("api-resources", f"--api-group={group}", "--output=name")
        wait_until(lambda: namespace.kubectl(*kinds), "the kind among all kinds")
        wait_until(lambda: namespace.find(kind, "gadget"), "the object")
        for ready in ("Unknown", "True"):
            time.sleep(2)
            condition = {"type": "Ready", "status": ready}
            status = {"conditions": [condition], "url": "http://gadget"}
            namespace.patch(kind, "gadget", {"status": status}, "--subresource=status")

    thread = threading.Thread(target=controller)
    thread.start()
    report = stack.up(program)
    thread.join()

    assert report.succeeded, report.messages
    assert "Ready=Unknown" in report.messages
    assert stack.resource("gadget")["outputs"]["status"]["url"] == "http://gadget"
    assert stack.up(program).operations("gadget") == ["same"]
    assert stack.destroy().succeeded


def test_cancelling_ends_the_waiting_and_keeps_the_object(
    stack: Stack, namespace: Namespace, image: str
) -> None:
    process = stack.start_up(job(namespace, image, "sleep 600"))
    wait_until(lambda: namespace.names("job"), "the Job")
    time.sleep(2)

    begin = time.monotonic()
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=60) != 0
    assert time.monotonic() - begin < 20
    assert stack.resource("gate")["id"] == f"{namespace.name}/gate"
    assert stack.destroy().succeeded
