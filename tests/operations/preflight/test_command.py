"""`ft-serving preflight`: its output, and its exit code."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from ft_serving.cli import app
from operations.errors import OperationsError
from operations.preflight.facts import FactKind, Facts
from operations.preflight.needs import Needs
from tests.operations.preflight.cluster import needs, sound, storage_class

Asked = list[Needs]
REMEDY = "Install KServe 0.17: https://kserve.github.io/website/docs/admin-guide/overview"


def facts(wanted: Needs) -> Facts:
    """A cluster that lacks KServe, and has another class."""
    objects = {**sound(wanted).objects, FactKind.STORAGE_CLASSES: [storage_class("other")]}
    return replace(sound(wanted), groups={"serving.knative.dev": ["v1"]}, objects=objects)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Stands in for a cluster, and keeps the needs that it was asked about."""
    asked: Asked = []

    def read(wanted: Needs, **_: object) -> Facts:
        asked.append(wanted)
        answer: Facts = request.param(wanted)
        return answer

    monkeypatch.setattr("operations.preflight.cluster.read_facts", read)
    return asked


@pytest.mark.parametrize("cluster", [sound], indirect=True)
def test_a_sound_cluster_ends_with_0_and_one_line(
    cluster: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_SERVING_REGISTRY_PASSWORD", "a-password")
    done = CliRunner().invoke(app, ["preflight", "--stack", "dev"])
    assert done.exit_code == 0
    assert done.output == "Kubernetes v1.34.4 has all that stack dev needs.\n"
    assert cluster == [needs("dev", password="a-password")]
    assert "a-password" not in repr(cluster)


@pytest.mark.parametrize("cluster", [facts], indirect=True)
def test_every_finding_is_printed_before_the_error(cluster: Asked) -> None:
    done = CliRunner().invoke(app, ["preflight", "--stack", "dev"])
    assert isinstance(done.exception, OperationsError), "main() makes exit code 1 of it"
    assert str(done.exception) == "The cluster is not ready for stack dev: 2 error(s)"
    assert done.output.splitlines()[:4] == [
        "error: KServe",
        "  found:  no such API",
        "  needed: serving.kserve.io/v1beta1",
        f"  remedy: {REMEDY}",
    ]
    assert "error: StorageClass ft-serving-shared\n" in done.output


@pytest.mark.parametrize("cluster", [facts], indirect=True)
def test_json_is_one_object(cluster: Asked) -> None:
    done = CliRunner().invoke(app, ["preflight", "--stack", "dev", "--json"])
    document = json.loads(done.stdout)
    assert (document["stack"], document["kubernetes"]) == ("dev", "v1.34.4")
    first, second = document["findings"]
    assert first == {
        "severity": "error",
        "what": "KServe",
        "found": "no such API",
        "needed": "serving.kserve.io/v1beta1",
        "remedy": REMEDY,
    }
    assert second["what"] == "StorageClass ft-serving-shared"


def test_a_stack_that_does_not_exist_is_told() -> None:
    done = CliRunner().invoke(app, ["preflight", "--stack", "nosuch"])
    assert "There is no stack nosuch" in str(done.exception)
