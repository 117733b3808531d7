"""Reading a namespace, and the API server's other answers."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import urllib3

from ft_serving.cluster.api import Api
from ft_serving.cluster.diagnosis import Kind, State, diagnose
from ft_serving.cluster.diagnosis.namespace import ClusterNamespace
from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError
from tests.cluster.conftest import Serve
from tests.cluster.diagnosis.recorded_snapshots import recorded
from tests.fake_api import TOKEN, FakeApi

NAME = "weights-altered"
NOT_BASE64 = (
    "{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], clusters: "
    "[{name: c, cluster: {server: 'https://h', certificate-authority-data: x}}], users: []}"
)


@pytest.fixture
def api(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    monkeypatch.setattr(urllib3.Retry, "sleep", lambda *_: None)
    return serve(recorded(NAME)[0])


def test_a_snapshot_has_all_that_a_diagnosis_needs(api: FakeApi) -> None:
    snapshot, now = recorded(NAME)
    read = ClusterNamespace().snapshot(NAME)
    assert (read.namespace, read.objects, read.logs) == (
        snapshot.namespace,
        snapshot.objects,
        snapshot.logs,
    )
    assert api.logins == {f"Bearer {TOKEN}"}
    found = diagnose(dataclasses.replace(read, begun=snapshot.begun), now)
    assert found.state is State.FAILED


def test_only_the_namespace_is_read_but_for_the_nodes(api: FakeApi) -> None:
    ClusterNamespace(namespace="other").snapshot(NAME)
    assert {path for path in api.asked if "/namespaces/other/" not in path} == {"/api/v1/nodes"}


def test_the_namespace_is_that_of_the_context(api: FakeApi) -> None:
    assert ClusterNamespace(context="here").namespace == "gate-bad"
    assert ClusterNamespace(context="bare").namespace == "default"
    assert ClusterNamespace(context="here", namespace="given").namespace == "given"


def test_a_cluster_may_have_no_knative_and_hide_its_nodes_and_logs(api: FakeApi) -> None:
    api.answers = {"/revisions": (404, {}), "/nodes": (403, {}), "/log": (500, {})}
    read = ClusterNamespace().snapshot(NAME)
    assert read.all(Kind.REVISIONS) == []
    assert Kind.NODES not in read.objects
    assert set(read.logs.values()) == {""}


@pytest.mark.parametrize(
    ("ending", "status", "error", "words"),
    [
        ("/inferenceservices", 404, ClusterRefusalError, "install KServe"),
        ("/pods", 403, ClusterRefusalError, r"403: not you\. Let it get and list this"),
        ("/pods", 401, ClusterRefusalError, "the kubeconfig's credentials: not you"),
        ("/pods", 429, ClusterUnavailableError, "is busy; it answers 429: not you"),
        ("/pods", 500, ClusterUnavailableError, "answers 500: not you"),
    ],
)
def test_an_answer_that_is_none_is_told(
    api: FakeApi, ending: str, status: int, error: type[Exception], words: str
) -> None:
    api.answers = {ending: (status, {"message": "not you"})}
    with pytest.raises(error, match=words):
        ClusterNamespace().snapshot(NAME)


def test_an_api_server_that_is_busy_is_asked_again(api: FakeApi) -> None:
    api.busy_times = 3
    assert ClusterNamespace().snapshot(NAME).service() is not None


def test_an_api_server_that_is_gone_is_told_by_its_address(api: FakeApi, tmp_path: Path) -> None:
    gone = dataclasses.replace(api, port=9).kubeconfig(tmp_path)
    with pytest.raises(ClusterUnavailableError, match=":9 does not answer") as caught:
        Api.of_kubeconfig(str(gone)).get("/version")
    assert TOKEN not in str(caught.value)


def test_a_context_that_does_not_exist_is_an_error(api: FakeApi) -> None:
    with pytest.raises(ClusterUnavailableError, match="elsewhere"):
        ClusterNamespace(context="elsewhere")


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "just text",
        "[]",
        "clusters: 3",
        "current-context: nowhere",
        NOT_BASE64,
    ],
)
def test_a_kubeconfig_that_is_none_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content:
        path.write_text(content)
    with pytest.raises(
        ClusterUnavailableError, match=r"(?s)No cluster can be asked: .*Set KUBECONFIG"
    ):
        Api.of_kubeconfig(str(path))


def test_an_overview_has_the_logs_of_jobs_too(serve: Serve) -> None:
    snapshot, _ = recorded("job")
    wrote = {**snapshot.logs, ("weights-sh8nl", "it"): "weights  1 GiB of 23 GiB  4%"}
    pods: Any = snapshot.all(Kind.PODS)
    for pod in pods:
        if pod["metadata"]["name"] == "weights-sh8nl":
            running = {"name": "it", "ready": False, "state": {"running": {}}, "restartCount": 0}
            pod["status"]["containerStatuses"] = [running]
    serve(dataclasses.replace(snapshot, logs=wrote))
    assert ClusterNamespace().overview(snapshot.name).logs == wrote
    assert ("weights-sh8nl", "it") not in ClusterNamespace().snapshot(snapshot.name).logs
