"""What is asked of an API server, and what its answers come to."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError
from operations.preflight.cluster import read_facts
from operations.preflight.facts import FactKind, Facts
from tests.operations.preflight.cluster import GROUPS, needs
from tests.operations.preflight.table_api import REVIEWS, TableApi, table_api

SERVICES = "inferenceservices"
HERE = "/apis/serving.kserve.io/v1beta1/namespaces/ft-serving"
DEFAULT = "/apis/serving.kserve.io/v1beta1/namespaces/default"
# Nothing listens there, and it is told at once.
CHANGES = {"image.registry": "127.0.0.1:9"}


@pytest.fixture
def api() -> Iterator[TableApi]:
    with table_api() as made:
        yield made


def read(api: TableApi, folder: Path) -> Facts:
    return read_facts(needs("dev", CHANGES), kubeconfig=str(api.kubeconfig(folder)), context=None)


def test_versions_groups_and_objects_are_read(api: TableApi, tmp_path: Path) -> None:
    api.answers["/api/v1/nodes"] = 200, {"items": [{"metadata": {"name": "n"}}]}
    claim = {"metadata": {"name": "ft-serving-models"}}
    path = "/api/v1/namespaces/ft-serving/persistentvolumeclaims/ft-serving-models"
    api.answers[path] = 200, claim
    facts = read(api, tmp_path)
    assert facts.version == "v1.34.4"
    assert {name: tuple(versions) for name, versions in facts.groups.items()} == GROUPS
    assert facts.objects[FactKind.NODES] == [{"metadata": {"name": "n"}}]
    assert facts.objects[FactKind.CLAIM] == [claim]
    assert facts.objects[FactKind.SERVICE] == []
    assert facts.registry is not None
    assert not facts.registry.reached


def test_what_may_not_be_read_is_told_from_what_is_not_there(api: TableApi, tmp_path: Path) -> None:
    api.answers["/api/v1/nodes"] = 403, {"message": "forbidden"}
    facts = read(api, tmp_path)
    assert facts.unread() == [FactKind.NODES]


def test_denied_permissions_are_kept(api: TableApi, tmp_path: Path) -> None:
    api.denied = frozenset({SERVICES})
    facts = read(api, tmp_path)
    assert {it.resource for it in facts.denied} == {SERVICES}


def test_nothing_is_created_but_reviews_and_tries(api: TableApi, tmp_path: Path) -> None:
    read(api, tmp_path)
    assert {query for path, query, _ in api.posted if path != REVIEWS} == {"dryRun=All"}


def test_a_service_is_tried_where_the_namespace_stays_or_else_in_the_default_one(
    api: TableApi, tmp_path: Path
) -> None:
    api.answers[f"{DEFAULT}/{SERVICES}"] = 400, {"message": "no"}
    assert read(api, tmp_path).refusals == {"KServe": "no"}
    api.answers["/api/v1/namespaces/ft-serving"] = 200, {"metadata": {"name": "ft-serving"}}
    assert read(api, tmp_path).refusals == {}
    going = {"metadata": {"name": "ft-serving", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    api.answers["/api/v1/namespaces/ft-serving"] = 200, going
    assert read(api, tmp_path).refusals == {"KServe": "no"}, "nothing new is taken in it"
    api.answers["/api/v1/namespaces/ft-serving"] = 200, {"metadata": {"name": "ft-serving"}}
    api.answers[f"{HERE}/{SERVICES}"] = 500, {"message": "failed calling webhook"}
    assert read(api, tmp_path).refusals == {"KServe": "failed calling webhook"}


def test_who_may_not_try_is_not_refused_by_a_webhook(api: TableApi, tmp_path: Path) -> None:
    said = 'inferenceservices is forbidden: User "it" cannot create resource "inferenceservices"'
    api.answers[f"{DEFAULT}/{SERVICES}"] = 403, {"message": said}
    assert read(api, tmp_path).refusals == {}


def test_a_namespace_that_is_there_need_not_be_created(api: TableApi, tmp_path: Path) -> None:
    api.denied = frozenset({"namespaces"})
    assert "create" in {it.verb for it in read(api, tmp_path).denied}
    api.answers["/api/v1/namespaces/ft-serving"] = 200, {"metadata": {"name": "ft-serving"}}
    assert {it.verb for it in read(api, tmp_path).denied} == {"get", "patch"}


def test_credentials_that_are_not_accepted_are_an_error(api: TableApi, tmp_path: Path) -> None:
    api.answers["/version"] = 401, {"message": "Unauthorized"}
    with pytest.raises(ClusterRefusalError, match="does not accept the kubeconfig's credentials"):
        read(api, tmp_path)


def test_an_api_server_that_does_not_answer_is_told_by_its_address(tmp_path: Path) -> None:
    with table_api() as gone:
        kubeconfig = str(gone.kubeconfig(tmp_path))
    with pytest.raises(
        ClusterUnavailableError, match=f"http://127.0.0.1:{gone.port} does not answer"
    ):
        read_facts(needs("dev"), kubeconfig=kubeconfig, context=None)


def test_a_kubeconfig_or_context_that_is_not_there_is_told(api: TableApi, tmp_path: Path) -> None:
    with pytest.raises(ClusterUnavailableError, match=r"cluster\.context"):
        read_facts(needs("dev"), kubeconfig=str(api.kubeconfig(tmp_path)), context="nowhere")
    with pytest.raises(ClusterUnavailableError, match=r"No cluster can be asked"):
        read_facts(needs("dev"), kubeconfig=str(tmp_path / "none"), context=None)


@pytest.mark.parametrize(
    "content", ["{", "just text", "[]", "clusters: 3", "current-context: nowhere"]
)
def test_a_kubeconfig_that_is_none_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(ClusterUnavailableError, match=r"No cluster can be asked"):
        read_facts(needs("dev"), kubeconfig=str(path), context=None)


def test_certificates_that_are_no_base64_are_told(api: TableApi, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path)
    document = json.loads(path.read_text())
    cluster = {"server": "https://127.0.0.1:9", "certificate-authority-data": "x"}
    document["clusters"][0]["cluster"] = cluster
    path.write_text(json.dumps(document))
    with pytest.raises(ClusterUnavailableError, match=r"No cluster can be asked"):
        read_facts(needs("dev"), kubeconfig=str(path), context=None)


def test_an_api_server_that_is_busy_is_asked_again(
    api: TableApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib3.Retry, "sleep", lambda *_: None)
    api.busy_times = 3
    assert read(api, tmp_path).denied == []
    api.busy_times = 100
    with pytest.raises(ClusterUnavailableError, match="is busy; it answers 429: slow down"):
        read(api, tmp_path)
