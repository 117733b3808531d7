"""`ft-serving preflight`: what it prints, and how it ends."""

import json

import pytest
from typer.testing import CliRunner

from ft_serving.cli import app
from operations.errors import OperationsError
from operations.preflight.facts import FactKind
from operations.preflight.needs import Needs
from tests.operations.preflight.cluster import needs, sound, storage_class


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Needs]:
    """Stands a sound cluster in, and keeps what was asked for."""
    asked: list[Needs] = []

    def read(wanted: Needs, **_: object) -> object:
        asked.append(wanted)
        return sound(wanted)

    monkeypatch.setattr("operations.preflight.cluster.read_facts", read)
    return asked


def test_a_sound_cluster_ends_with_0_and_one_line(given: list[Needs]) -> None:
    done = CliRunner().invoke(app, ["preflight", "--stack", "dev"])
    assert done.exit_code == 0
    assert done.output == "Kubernetes v1.34.4 has all that stack dev needs.\n"
    (asked,) = given
    assert asked == needs("dev")


def test_every_finding_is_printed_before_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch)
    done = CliRunner().invoke(app, ["preflight", "--stack", "dev"])
    assert isinstance(done.exception, OperationsError), "main() makes exit code 1 of it"
    assert str(done.exception) == "The cluster is not ready for stack dev: 2 error(s)"
    assert done.output.splitlines()[:4] == [
        "error: KServe",
        "  found:  no such API",
        "  needed: serving.kserve.io/v1beta1",
        "  remedy: Install KServe 0.17: https://kserve.github.io/website/docs/admin-guide/overview",
    ]
    assert "error: StorageClass ft-serving-shared\n" in done.output


def test_json_is_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch)
    done = CliRunner().invoke(app, ["preflight", "--stack", "dev", "--json"])
    document = json.loads(done.stdout)
    assert document["stack"] == "dev"
    assert document["kubernetes"] == "v1.34.4"
    assert [each["what"] for each in document["findings"]] == [
        "KServe",
        "StorageClass ft-serving-shared",
    ]
    keys = {"severity", "what", "found", "needed", "remedy"}
    assert all(each.keys() == keys for each in document["findings"])


def test_the_password_comes_from_the_environment_and_is_not_shown(
    given: list[Needs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_SERVING_REGISTRY_PASSWORD", "a-password")
    CliRunner().invoke(app, ["preflight", "--stack", "dev"])
    (asked,) = given
    assert asked.password == "a-password"
    assert "a-password" not in repr(asked)


def test_a_stack_that_is_not_there_is_told() -> None:
    done = CliRunner().invoke(app, ["preflight", "--stack", "nosuch"])
    assert "There is no stack nosuch" in str(done.exception)


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand a cluster in that has Knative alone, and another class."""
    facts = sound(needs("dev"))
    objects = {**facts.objects, FactKind.STORAGE_CLASSES: [storage_class("other")]}
    groups = {"serving.knative.dev": ["v1"]}
    monkeypatch.setattr(
        "operations.preflight.cluster.read_facts",
        lambda *_, **__: type(facts)(version=facts.version, groups=groups, objects=objects),
    )
