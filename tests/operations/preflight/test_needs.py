"""Preflight asks a cluster for that which the program makes."""

from functools import cache

import pytest

from components.jobs import GATE_RESOURCES
from operations.preflight.amounts import job_pod
from operations.preflight.needs import permissions
from operations.recording.recorder import Recording
from tests.components.program import program
from tests.operations.preflight.cluster import needs
from tests.stacks.documents import SHIPPED

PLURALS = {"NetworkPolicy": "networkpolicies"}


@cache
def made(stack: str) -> Recording:
    return program(stack)


@pytest.mark.parametrize("stack", SHIPPED)
def test_every_kind_that_the_program_makes_is_asked_permission_for(stack: str) -> None:
    kinds = (
        resource.inputs.get("kind", "InferenceService")
        for resource in made(stack).resources
        if resource.type.startswith("kubernetes:")
    )
    asked = {it.resource for it in permissions(needs(stack).config) if it.verb == "create"}
    assert {PLURALS.get(kind, f"{kind.lower()}s") for kind in kinds} == asked


@pytest.mark.parametrize("stack", SHIPPED)
def test_the_service_that_is_tried_and_the_jobs_that_are_counted_are_those_that_are_made(
    stack: str,
) -> None:
    service = made(stack).one("v1beta1:InferenceService", "inference-service").inputs
    tried = needs(stack).service
    assert tried["metadata"]["annotations"] == service["metadata"]["annotations"]
    assert tried["spec"]["predictor"].keys() == service["spec"]["predictor"].keys()
    assert tried["metadata"]["name"] == service["metadata"]["name"]
    counted = needs(stack).config.job_resources
    for job in made(stack).of("batch/v1:Job"):
        resources = job.inputs["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert resources == job_pod(counted if job.name == "model-download" else GATE_RESOURCES)


def test_secrets_are_asked_for_where_there_is_a_login() -> None:
    wanted = needs("dev", {"image.username": "someone"})
    assert "secrets" in {it.resource for it in permissions(wanted.config)}
