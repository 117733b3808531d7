"""Another revision of the model: made beside the served one, switched to, rolled back from."""

from collections.abc import Iterator

import pytest

from tests.deployment.conftest import Deploy
from tests.deployment.load import Record, under_load
from tests.deployment.program import Deployment
from tests.deployment.revisions import LENGTH, Revisions, revisions
from tests.deployment.test_lifecycle import log_of
from tests.platform.cluster import Namespace

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

FIRST, SECOND, THIRD = ((token,) * LENGTH for token in (11, 22, 33))
"""The answer of each revision."""


@pytest.fixture(scope="module")
def model() -> Iterator[Revisions]:
    with revisions() as model:
        yield model


@pytest.fixture(scope="module")
def first(model: Revisions) -> str:
    return model.publish(FIRST)


@pytest.fixture(scope="module")
def stack(deployment: Deployment, new_stack: Deploy, model: Revisions, first: str) -> Deployment:
    """The first revision, served."""
    made = new_stack({**deployment.images(), **model.settings(first, FIRST)})
    made.deploy()
    return made


def test_a_new_revision_is_made_beside_the_served_one_and_switched_to_under_load(
    stack: Deployment, model: Revisions, cluster: Namespace, record_property: Record
) -> None:
    old = stack.outputs()["release"]
    stack.change(model.settings(model.publish(SECOND), SECOND))
    with under_load(stack, record_property, (FIRST, SECOND)) as load:
        report = stack.deploy()
        load.wait_for_recovery(SECOND)
    assert load.counts().keys() == {FIRST, SECOND}, "both were asked"
    assert stack.outputs()["release"] != old
    assert log_of(cluster, "model-download").count("was converted") == 1
    assert report.operations("storage") == ["same"] * 2, "component and claim"


def test_the_older_release_is_switched_back_to_without_a_download(
    stack: Deployment, model: Revisions, first: str, cluster: Namespace
) -> None:
    # The hub has only the second revision: a download of the first one would fail.
    stack.change(model.settings(first, FIRST))
    stack.deploy()
    assert "was there and is valid" in log_of(cluster, "model-download")


def test_the_release_that_was_served_longest_ago_goes_when_a_third_one_is(
    stack: Deployment, model: Revisions, cluster: Namespace
) -> None:
    rolled_back_to = stack.outputs()["release"]
    stack.change(model.settings(model.publish(THIRD), THIRD))
    stack.deploy()
    lines = log_of(cluster, "release-collection").splitlines()
    decisions = dict(line.split(": ") for line in lines)
    assert len(decisions) == 3
    assert decisions.pop(stack.outputs()["release"]) == "kept, named"
    assert decisions.pop(rolled_back_to) == "kept, among the newest 1"
    assert set(decisions.values()) == {"deleted"}
