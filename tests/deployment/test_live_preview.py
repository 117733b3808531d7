"""`ft-serving preview --live`: what Pulumi says of a live stack; nothing is changed by it."""

from collections.abc import Mapping
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient

from operations.preview.compare import compare
from operations.preview.formats import as_json, markdown, text
from operations.preview.rendered import resources_of
from operations.preview.summary import StackSummary, Summary, live_summary
from operations.recording.listing import listing
from tests.components.program import program
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.stacks.documents import ROOT

pytestmark = [pytest.mark.platform, pytest.mark.slow]

SECRET = "hunter2-and-more"


def live(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> StackSummary:
    for name, value in deployment.cli.environment.items():
        monkeypatch.setenv(name, value)
    before = deployment.settings_file.read_text()
    summary = live_summary(ROOT, deployment.stack, deployment.settings_file)
    assert deployment.settings_file.read_text() == before
    return summary


def done(summary: StackSummary) -> set[tuple[str, str, str]]:
    assert not summary.refused, summary.refused
    return {(it.action.value, it.resource.kind, it.resource.name) for it in summary.changes}


def foretold(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """The same from what the program makes of settings."""
    states = (resources_of(listing(program("dev", it))) for it in (before, after))
    return {(it.action.value, it.resource.kind, it.resource.name) for it in compare(*states)}


def test_a_stack_that_is_not_deployed_is_created_and_is_not(
    new_stack: Deploy, api: DynamicClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = new_stack({"image.username": "me"})
    deployment.set_secret("registryPassword", SECRET)
    summary = live(deployment, monkeypatch)
    assert {action for action, _, _ in done(summary)} == {"create"}
    assert ("create", "InferenceService", "inference-service") in done(summary)
    assert ("create", "Secret", "access-registry") in done(summary)
    whole = Summary(against="the live state", stacks=(summary,))
    for written in (text(whole), markdown(whole), as_json(whole)):
        assert SECRET not in written
    namespaces = api.resources.get(api_version="v1", kind="Namespace")
    selector = f"kubernetes.io/metadata.name={deployment.namespace}"
    assert not namespaces.get(label_selector=selector).items


CHANGES: list[dict[str, Any]] = [
    {"replicas.max": 2, "storage.size": "2Gi"},
    {"hub.endpoint": "http://elsewhere"},
    {"storage.storageClass": "other"},
]


def test_pulumi_does_what_is_foretold_without_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, state = deployment.settings, deployment.state()
    assert done(live(deployment, monkeypatch)) == set()
    for change in CHANGES:
        deployment.change(change)
        summary = live(deployment, monkeypatch)
        if "storage.storageClass" in change:
            # Pulumi's plugin tries the new claim on the API server, which refuses it: no `up` can
            # lose the weights so.
            assert "ft-serving-models" in summary.refused
            assert "spec is immutable after creation" in summary.refused
        else:
            assert done(summary) == foretold(settings, deployment.settings), change
            assert summary.warnings == ()
        deployment.settings = settings
    deployment.change({})
    assert deployment.state() == state


def test_a_refused_configuration_is_told_in_the_programs_words(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = deployment.settings
    deployment.change({"gpu.type": "K80", "storage.size": "none"})
    refused = live(deployment, monkeypatch).refused.splitlines()
    deployment.settings = settings
    deployment.change({})
    assert refused[0].startswith("The configuration cannot be deployed")
    assert [line.partition(":")[0] for line in refused[1:]] == ["gpu.type", "storage.size"]
