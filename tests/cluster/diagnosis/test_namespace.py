"""Reading a namespace, and what an API server may answer instead."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from ft_serving.cluster.diagnosis import Kind, State, diagnose
from ft_serving.cluster.diagnosis.namespace import ClusterNamespace
from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError
from tests.cluster.diagnosis.recorded_api import RecordedApi, recorded_api
from tests.cluster.diagnosis.recorded_snapshots import recorded
from tests.fake_api import TOKEN

DEFAULT = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedApi]:
    with recorded_api(recorded("weights-altered")[0]) as api:
        monkeypatch.setattr(DEFAULT, str(api.kubeconfig(tmp_path)))
        yield api


def test_a_snapshot_has_all_that_a_diagnosis_needs(api: RecordedApi) -> None:
    snapshot, now = recorded("weights-altered")
    cluster = ClusterNamespace()
    read = cluster.snapshot("weights-altered")

    assert cluster.namespace == snapshot.namespace == read.namespace
    assert read.objects == snapshot.objects
    assert read.logs == snapshot.logs
    assert api.tokens == {f"Bearer {TOKEN}"}
    found = diagnose(snapshot, now)
    assert found.state is State.FAILED
    assert diagnose(read, now).findings == found.findings


def test_only_the_namespace_is_read_but_for_the_nodes(api: RecordedApi) -> None:
    ClusterNamespace(namespace="other").snapshot("weights-altered")
    assert {path for path in api.asked if "/namespaces/other/" not in path} == {"/api/v1/nodes"}


def test_the_namespace_is_that_of_the_context(api: RecordedApi) -> None:
    assert ClusterNamespace(context="here").namespace == "gate-bad"
    assert ClusterNamespace(context="bare").namespace == "default"
    assert ClusterNamespace(context="here", namespace="given").namespace == "given"


def test_nodes_that_may_not_be_read_are_left_out(api: RecordedApi) -> None:
    api.refusals = {"/nodes": 403}
    assert Kind.NODES not in ClusterNamespace().snapshot("weights-altered").objects


def test_a_cluster_without_knative_has_no_revisions(api: RecordedApi) -> None:
    api.refusals = {"/revisions": 404}
    assert ClusterNamespace().snapshot("weights-altered").all(Kind.REVISIONS) == []


def test_a_cluster_without_kserve_is_an_error(api: RecordedApi) -> None:
    api.refusals = {"/inferenceservices": 404}
    with pytest.raises(ClusterRefusalError, match="install KServe"):
        ClusterNamespace().snapshot("weights-altered")


def test_what_may_not_be_read_is_named(api: RecordedApi) -> None:
    api.refusals = {"/pods": 403}
    with pytest.raises(ClusterRefusalError, match=r"403: no /pods for you\. Let it get and"):
        ClusterNamespace().snapshot("weights-altered")


def test_credentials_that_are_not_accepted_are_told_from_a_missing_role(api: RecordedApi) -> None:
    api.refusals = {"/pods": 401}
    with pytest.raises(ClusterRefusalError, match="the kubeconfig's credentials: no /pods for you"):
        ClusterNamespace().snapshot("weights-altered")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_server_in_trouble_may_do_later(
    api: RecordedApi, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib3.Retry, "sleep", lambda *_: None)
    api.refusals = {"/pods": status}
    with pytest.raises(ClusterUnavailableError):
        ClusterNamespace().snapshot("weights-altered")


def test_an_api_server_that_is_busy_is_asked_again(
    api: RecordedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib3.Retry, "sleep", lambda *_: None)
    api.busy_times = 3
    assert ClusterNamespace().snapshot("weights-altered").service() is not None


def test_an_api_server_that_is_gone_may_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded_api(recorded("sound")[0]) as api:
        monkeypatch.setattr(DEFAULT, str(api.kubeconfig(tmp_path)))
    with pytest.raises(ClusterUnavailableError, match="does not answer") as caught:
        ClusterNamespace().snapshot("sound")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_log_that_is_not_there_is_empty(api: RecordedApi, status: int) -> None:
    api.refusals = {"/log": status}
    assert set(ClusterNamespace().snapshot("weights-altered").logs.values()) == {""}


def test_a_context_that_is_not_there_is_an_error(api: RecordedApi) -> None:
    with pytest.raises(ClusterUnavailableError, match="elsewhere"):
        ClusterNamespace(context="elsewhere")


def test_no_kubeconfig_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEFAULT, str(tmp_path / "none"))
    with pytest.raises(ClusterUnavailableError, match="Set KUBECONFIG"):
        ClusterNamespace()


def test_an_overview_has_what_jobs_wrote_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, _ = recorded("job")
    wrote = {**snapshot.logs, ("weights-sh8nl", "it"): "weights  1 GiB of 23 GiB  4%"}
    with recorded_api(dataclasses.replace(snapshot, logs=wrote)) as api:
        monkeypatch.setattr(DEFAULT, str(api.kubeconfig(tmp_path)))
        status = {"name": "it", "ready": False, "state": {"running": {}}, "restartCount": 0}
        for pod in api.snapshot.all(Kind.PODS):
            if pod["metadata"]["name"] == "weights-sh8nl":
                pod["status"]["containerStatuses"] = [status]
        assert ClusterNamespace().overview(snapshot.name).logs == wrote
        assert ("weights-sh8nl", "it") not in ClusterNamespace().snapshot(snapshot.name).logs
