"""Reading a namespace, and what an API server may answer instead."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.cluster.diagnosis import Kind, State, diagnose
from ft_serving.cluster.diagnosis.cluster import Cluster
from ft_serving.cluster.diagnosis.errors import (
    ClusterConfigError,
    ClusterRefusalError,
    ClusterUnavailableError,
)
from tests.cluster.diagnosis.fake_api import TOKEN, FakeApi, fake_api
from tests.cluster.diagnosis.recorded_snapshots import recorded

DEFAULT = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with fake_api(recorded("weights-altered")[0]) as api:
        monkeypatch.setattr(DEFAULT, str(api.kubeconfig(tmp_path)))
        yield api


def test_a_snapshot_has_all_that_a_diagnosis_needs(api: FakeApi) -> None:
    snapshot, now = recorded("weights-altered")
    cluster = Cluster()
    read = cluster.snapshot("weights-altered")

    assert cluster.namespace == snapshot.namespace == read.namespace
    assert read.objects == snapshot.objects
    assert read.logs == snapshot.logs
    assert api.tokens == {f"Bearer {TOKEN}"}
    found = diagnose(snapshot, now)
    assert found.state is State.FAILED
    assert diagnose(read, now).findings == found.findings


def test_only_the_namespace_is_read_but_for_the_nodes(api: FakeApi) -> None:
    Cluster(namespace="other").snapshot("weights-altered")
    assert {path for path in api.asked if "/namespaces/other/" not in path} == {"/api/v1/nodes"}


def test_the_namespace_is_that_of_the_context(api: FakeApi) -> None:
    assert Cluster(context="here").namespace == "gate-bad"
    assert Cluster(context="bare").namespace == "default"
    assert Cluster(context="here", namespace="given").namespace == "given"


def test_nodes_that_may_not_be_read_are_left_out(api: FakeApi) -> None:
    api.refusals = {"/nodes": 403}
    assert Kind.NODES not in Cluster().snapshot("weights-altered").objects


def test_a_cluster_without_knative_has_no_revisions(api: FakeApi) -> None:
    api.refusals = {"/revisions": 404}
    assert Cluster().snapshot("weights-altered").all(Kind.REVISIONS) == []


def test_a_cluster_without_kserve_is_an_error(api: FakeApi) -> None:
    api.refusals = {"/inferenceservices": 404}
    with pytest.raises(ClusterRefusalError, match="install KServe"):
        Cluster().snapshot("weights-altered")


@pytest.mark.parametrize("status", [401, 403])
def test_what_may_not_be_read_is_named(api: FakeApi, status: int) -> None:
    api.refusals = {"/pods": status}
    with pytest.raises(ClusterRefusalError, match=f"{status}: no /pods for you. Let it get and"):
        Cluster().snapshot("weights-altered")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_server_in_trouble_may_do_later(api: FakeApi, status: int) -> None:
    api.refusals = {"/pods": status}
    with pytest.raises(ClusterUnavailableError):
        Cluster().snapshot("weights-altered")


def test_an_api_server_that_is_gone_may_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_api(recorded("sound")[0]) as api:
        monkeypatch.setattr(DEFAULT, str(api.kubeconfig(tmp_path)))
    with pytest.raises(ClusterUnavailableError, match="does not answer") as caught:
        Cluster().snapshot("sound")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_log_that_is_not_there_is_empty(api: FakeApi, status: int) -> None:
    api.refusals = {"/log": status}
    assert set(Cluster().snapshot("weights-altered").logs.values()) == {""}


def test_a_context_that_is_not_there_is_an_error(api: FakeApi) -> None:
    with pytest.raises(ClusterConfigError, match="elsewhere"):
        Cluster(context="elsewhere")


def test_no_kubeconfig_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEFAULT, str(tmp_path / "none"))
    with pytest.raises(ClusterConfigError, match="Set KUBECONFIG"):
        Cluster()


def test_an_overview_has_what_jobs_wrote_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, _ = recorded("job")
    wrote = {**snapshot.logs, ("weights-sh8nl", "it"): "weights  1 GiB of 23 GiB  4%"}
    with fake_api(dataclasses.replace(snapshot, logs=wrote)) as api:
        monkeypatch.setattr(DEFAULT, str(api.kubeconfig(tmp_path)))
        status = {"name": "it", "ready": False, "state": {"running": {}}, "restartCount": 0}
        for pod in api.snapshot.all(Kind.PODS):
            if pod["metadata"]["name"] == "weights-sh8nl":
                pod["status"]["containerStatuses"] = [status]
        assert Cluster().overview(snapshot.name).logs == wrote
        assert ("weights-sh8nl", "it") not in Cluster().snapshot(snapshot.name).logs
