"""What is asked of a cluster is what the program does to it."""

import pytest

from components.jobs import GATE_RESOURCES
from operations.preflight.amounts import job_pod
from operations.preflight.needs import permissions
from tests.components.program import program
from tests.operations.preflight.cluster import needs
from tests.stacks.documents import SHIPPED

PLURALS = {"NetworkPolicy": "networkpolicies"}


@pytest.mark.parametrize("stack", SHIPPED)
def test_every_kind_that_the_program_makes_is_asked_permission_for(stack: str) -> None:
    made = set()
    for resource in program(stack).resources:
        if resource.type.startswith("kubernetes:"):
            kind = resource.inputs.get("kind", "InferenceService")
            made.add(PLURALS.get(kind, f"{kind.lower()}s"))
    asked = {it.resource for it in permissions(needs(stack).config) if it.verb == "create"}
    assert made == asked, "operations.preflight.needs lists what the program creates"


@pytest.mark.parametrize("stack", SHIPPED)
def test_the_service_that_is_tried_is_the_one_that_is_made(stack: str) -> None:
    made = program(stack).one("v1beta1:InferenceService", "inference-service").inputs
    tried = needs(stack).service
    assert tried["metadata"]["annotations"] == made["metadata"]["annotations"]
    assert tried["spec"]["predictor"].keys() == made["spec"]["predictor"].keys()
    assert tried["metadata"]["name"] == made["metadata"]["name"]


@pytest.mark.parametrize("stack", SHIPPED)
def test_the_jobs_request_what_is_counted(stack: str) -> None:
    counted = needs(stack).config.job_resources
    for job in program(stack).of("batch/v1:Job"):
        resources = job.inputs["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert resources == job_pod(counted if job.name == "model-download" else GATE_RESOURCES)


def test_secrets_are_asked_for_where_there_is_a_login() -> None:
    wanted = needs("dev", {"image.username": "someone"})
    asked = {it.resource for it in permissions(wanted.config)}
    assert "secrets" in asked
