"""READY is said of the newest specification alone."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from ft_serving.cluster.diagnosis import Cause, Kind, State, diagnose
from tests.cluster.diagnosis.recorded_snapshots import changed, recorded


@pytest.mark.parametrize("name", ["sound", "standard-sound"])
def test_a_service_whose_change_was_not_seen_yet_is_not_ready(name: str) -> None:
    snapshot, now = recorded(name)
    service: Any = copy.deepcopy(snapshot.service())
    service["metadata"]["generation"] += 1
    found = diagnose(changed(snapshot, inference_services=[service]), now)
    assert found.state is State.PENDING, "the condition Ready is about the specification before"


def test_a_knative_service_whose_change_was_not_seen_yet_is_not_ready() -> None:
    snapshot, now = recorded("sound")
    services: Any = copy.deepcopy([*snapshot.all(Kind.KNATIVE_SERVICES)])
    services[0]["metadata"]["generation"] += 1
    assert diagnose(changed(snapshot, knative_services=services), now).state is State.PENDING


def test_a_rollout_that_hangs_behind_a_ready_service_is_not_ready() -> None:
    snapshot, now = recorded("standard-starting-rollout")
    service: Any = copy.deepcopy(snapshot.service())
    for each in service["status"]["conditions"]:
        each["status"] = "True"
    found = diagnose(changed(snapshot, inference_services=[service]), now)
    assert found.state is State.FAILED, "the pods of the release before may keep it Ready"


def test_pods_of_an_older_revision_are_not_looked_at() -> None:
    snapshot, now = recorded("gpu")
    service: Any = copy.deepcopy(snapshot.service())
    service["status"]["components"]["predictor"]["latestCreatedRevision"] = "gpu-predictor-00002"
    found = diagnose(changed(snapshot, inference_services=[service]), now + timedelta(hours=1))
    assert found.findings == ()
    assert found.state is State.PENDING


def test_a_service_that_is_not_there_fails_with_those_that_are() -> None:
    snapshot, now = recorded("sound")
    other: Any = copy.deepcopy(snapshot.service())
    other["metadata"]["name"] = "fastertransformer"
    found = diagnose(changed(snapshot, inference_services=[other]), now)
    assert (found.state, found.findings[0].cause) == (State.FAILED, Cause.MISSING)
    assert found.summary == (
        "There is no InferenceService sound in namespace gate-sound, which has: fastertransformer"
    )


def test_a_conflict_of_two_writers_is_no_refusal() -> None:
    snapshot, now = recorded("refused")
    service: Any = copy.deepcopy(snapshot.service())
    for each in service["status"]["conditions"]:
        each["message"] = (
            'fails to reconcile predictor: Operation cannot be fulfilled on services "x": the '
            "object has been modified; please apply your changes to the latest version"
        )
    found = diagnose(changed(snapshot, inference_services=[service]), now)
    assert (found.state, found.findings) == (State.PENDING, ())
    assert "has been modified" in found.summary
