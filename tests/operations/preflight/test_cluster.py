"""The requests to an API server, and the facts of its answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError
from operations.preflight.cluster import read_facts
from operations.preflight.facts import FactKind, Facts
from tests.fake_api import GROUPS, REVIEWS, FakeApi, fake_api
from tests.operations.preflight.cluster import needs

SERVICES = "inferenceservices"
HERE = f"/namespaces/ft-serving/{SERVICES}"
DEFAULT = f"/namespaces/default/{SERVICES}"
NAMESPACE = "/api/v1/namespaces/ft-serving"
# Nothing listens there, and the answer comes at once.
CHANGES = {"image.registry": "127.0.0.1:9"}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as made:
        yield made


def read(api: FakeApi, folder: Path, context: str | None = None) -> Facts:
    kubeconfig = str(api.kubeconfig(folder))
    return read_facts(needs("dev", CHANGES), kubeconfig=kubeconfig, context=context)


def test_versions_groups_and_objects_are_read_and_nothing_is_created(
    api: FakeApi, tmp_path: Path
) -> None:
    claim = {"metadata": {"name": "ft-serving-models"}}
    api.answers |= {
        "/api/v1/nodes": (200, {"items": [{"metadata": {"name": "n"}}]}),
        "/api/v1/pods": (403, {"message": "forbidden"}),
        "/persistentvolumeclaims/ft-serving-models": (200, claim),
    }
    facts = read(api, tmp_path)
    assert facts.version == "v1.34.4"
    assert {name: tuple(versions) for name, versions in facts.groups.items()} == GROUPS
    assert facts.objects[FactKind.NODES] == [{"metadata": {"name": "n"}}]
    assert facts.objects[FactKind.CLAIM] == [claim]
    assert facts.objects[FactKind.SERVICE] == []
    assert facts.unread() == [FactKind.PODS]
    assert facts.registry is not None
    assert not facts.registry.reached
    tried = [it.query for it in api.posted if it.path != REVIEWS]
    assert tried
    assert all(query == {"dryRun": ["All"]} for query in tried)


@pytest.mark.parametrize(
    ("metadata", "refused"),
    [(None, True), ({}, False), ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, True)],
)
def test_a_service_is_tried_where_the_namespace_stays_or_else_in_the_default_one(
    api: FakeApi, tmp_path: Path, metadata: dict[str, str] | None, refused: bool
) -> None:
    api.answers[DEFAULT] = 400, {"message": "no"}
    if metadata is not None:
        api.answers[NAMESPACE] = 200, {"metadata": {"name": "ft-serving", **metadata}}
    assert read(api, tmp_path).refusals == ({"KServe": "no"} if refused else {})


def test_permissions_are_asked_for_and_a_namespace_that_is_there_need_not_be_created(
    api: FakeApi, tmp_path: Path
) -> None:
    said = 'inferenceservices is forbidden: User "it" cannot create resource "inferenceservices"'
    api.answers |= {HERE: (403, {"message": said}), DEFAULT: (403, {"message": said})}
    assert read(api, tmp_path).denied == []
    assert [it.path for it in api.posted].count(REVIEWS) == 1, "an administrator may do everything"
    api.denied = frozenset({"namespaces"})
    facts = read(api, tmp_path)
    assert {it.verb for it in facts.denied} == {"create", "get", "patch"}
    assert facts.refusals == {}, "a user who may not try is not refused by a webhook"
    api.answers[NAMESPACE] = 200, {"metadata": {"name": "ft-serving"}}
    assert {it.verb for it in read(api, tmp_path).denied} == {"get", "patch"}


def test_a_cluster_that_cannot_be_asked_is_an_error(api: FakeApi, tmp_path: Path) -> None:
    api.answers["/version"] = 401, {"message": "Unauthorized"}
    with pytest.raises(ClusterRefusalError, match="does not accept the kubeconfig's credentials"):
        read(api, tmp_path)
    with pytest.raises(ClusterUnavailableError, match=r"cluster\.context"):
        read(api, tmp_path, "nowhere")
