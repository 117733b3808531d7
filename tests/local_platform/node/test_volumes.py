"""The provisioner of volumes, before an API that remembers what it is asked."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient, Resource
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

from local_platform.node import volumes
from local_platform.node.volumes import Provisioner, follow

UID = "01234567-89ab-cdef-0123-456789abcdef"
MERGE = "application/merge-patch+json"

Document = dict[str, Any]


class FakeResource:
    """One kind: every call is remembered with its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Document]] = []
        self.refusal: Exception | None = None

    def _call(self, action: str, given: Document) -> None:
        self.calls.append((action, given))
        if self.refusal is not None:
            raise self.refusal

    def create(self, **given: Any) -> None:
        self._call("create", given)

    def patch(self, **given: Any) -> None:
        self._call("patch", given)

    def delete(self, **given: Any) -> None:
        self._call("delete", given)


class FakeApi:
    """The two kinds that the provisioner uses."""

    def __init__(self) -> None:
        self.claims = FakeResource()
        self.volumes = FakeResource()
        self.resources = self
        self.requests: list[tuple[str, str, Document]] = []

    def request(self, method: str, path: str, **given: Any) -> None:
        self.requests.append((method, path, given))

    def get(self, *, api_version: str, kind: str) -> FakeResource:
        assert api_version == "v1"
        return {"PersistentVolumeClaim": self.claims, "PersistentVolume": self.volumes}[kind]


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def provisioner(api: FakeApi, tmp_path: Path) -> Provisioner:
    return Provisioner(cast(DynamicClient, api), tmp_path)


def claim(*, phase: str = "Pending", size: str = "1Gi", **spec: Any) -> Document:
    return {
        "metadata": {"namespace": "models", "name": "weights", "uid": UID},
        "spec": {
            "storageClassName": "ft-serving-shared",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": size}},
            **spec,
        },
        "status": {"phase": phase, "capacity": {"storage": "1Gi"}},
    }


def volume(path: Path, *, phase: str = "Released", policy: str = "Delete") -> Document:
    return {
        "metadata": {
            "name": f"pvc-{UID}",
            "annotations": {"pv.kubernetes.io/provisioned-by": "ft-serving.dev/shared"},
        },
        "spec": {
            "persistentVolumeReclaimPolicy": policy,
            "local": {"path": str(path)},
            "claimRef": {"namespace": "models", "name": "weights", "uid": UID},
        },
        "status": {"phase": phase},
    }


def error(status: int) -> ApiException:
    return ApiException(status=status, reason="", body="{}")


def test_a_pending_claim_gets_a_folder_and_a_volume_of_its_own(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path
) -> None:
    provisioner.claim(claim(size="5Gi"))

    folder = tmp_path / "models-weights-01234567"
    assert folder.stat().st_mode & 0o777 == 0o770, "others of the machine stay out"
    ((action, given),) = api.volumes.calls
    assert action == "create"
    assert given["body"] == {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{UID}",
            "annotations": {"pv.kubernetes.io/provisioned-by": "ft-serving.dev/shared"},
        },
        "spec": {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "ft-serving-shared",
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": "models",
                "name": "weights",
                "uid": UID,
            },
            "local": {"path": str(folder)},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {
                                    "key": "kubernetes.io/hostname",
                                    "operator": "In",
                                    "values": ["ft-serving"],
                                }
                            ]
                        }
                    ]
                }
            },
        },
    }


@pytest.mark.parametrize(
    "other",
    [
        claim(storageClassName="another"),
        claim(volumeName="chosen-by-hand"),
        claim(phase="Lost"),
        claim(phase="Bound", volumeName="pvc-1", size="1Gi"),
        claim(phase="Bound", volumeName="pvc-1", size="1024Mi"),
        claim(phase="Bound", volumeName="pvc-1", size="500Mi"),
    ],
    ids=["another class", "a volume by name", "lost", "as large", "as large in Mi", "smaller"],
)
def test_a_claim_that_needs_nothing_is_left_alone(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path, other: Document
) -> None:
    provisioner.claim(other)

    assert api.volumes.calls == api.claims.calls == []
    assert list(tmp_path.iterdir()) == []


def test_a_volume_that_an_earlier_attempt_made_is_taken(
    provisioner: Provisioner, api: FakeApi
) -> None:
    api.volumes.refusal = ConflictError(error(409))

    provisioner.claim(claim())


def test_a_bound_claim_that_asks_for_more_gets_more_in_volume_and_status(
    provisioner: Provisioner, api: FakeApi
) -> None:
    provisioner.claim(claim(phase="Bound", volumeName="pvc-1", size="2Gi"))

    assert api.volumes.calls == [(
        "patch",
        {"name": "pvc-1", "body": {"spec": {"capacity": {"storage": "2Gi"}}},
         "content_type": MERGE},
    )]  # fmt: skip
    assert api.requests == [(
        "patch",
        "/api/v1/namespaces/models/persistentvolumeclaims/weights/status",
        {"content_type": MERGE,
         "body": {"status": {"capacity": {"storage": "2Gi"}, "conditions": None}}},
    )]  # fmt: skip


def test_a_released_volume_is_deleted_with_its_files(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path
) -> None:
    folder = tmp_path / "models-weights-01234567"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").touch()

    provisioner.volume(volume(folder))

    assert list(tmp_path.iterdir()) == []
    assert api.volumes.calls == [("delete", {"name": f"pvc-{UID}"})]


def test_a_deletion_that_was_cut_short_is_ended(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path
) -> None:
    (tmp_path / ".deleting-models-weights-01234567" / "half").mkdir(parents=True)

    provisioner.volume(volume(tmp_path / "models-weights-01234567"))

    assert list(tmp_path.iterdir()) == []
    assert api.volumes.calls == [("delete", {"name": f"pvc-{UID}"})]


def test_volumes_in_use_retained_or_of_others_are_kept(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path
) -> None:
    folder = tmp_path / "models-weights-01234567"
    folder.mkdir()
    foreign = volume(folder)
    foreign["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "another"}
    by_hand = volume(folder)
    del by_hand["metadata"]["annotations"]

    for one in (volume(folder, phase="Bound"), volume(folder, policy="Retain"), foreign, by_hand):
        provisioner.volume(one)

    assert api.volumes.calls == []
    assert folder.is_dir()


def test_a_volume_that_names_files_of_another_deletes_nothing(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path
) -> None:
    folder = tmp_path / "models-weights-01234567"
    another = tmp_path / "models-others-89abcdef"
    inner = folder / "inner"
    for each in (another, inner):
        each.mkdir(parents=True)
    copy = volume(folder)
    copy["metadata"]["name"] = "restored"

    for one in (copy, volume(another), volume(inner), volume(tmp_path / "..")):
        provisioner.volume(one)

    assert api.volumes.calls == []
    assert inner.is_dir()
    assert another.is_dir()


class Watched:
    """A kind whose watches yield what each round has, and then fail or end."""

    def __init__(self, *rounds: list[Document | Exception]) -> None:
        self._rounds = iter(rounds)

    def watch(self, *, resource_version: str, timeout: int) -> Iterator[Document]:
        assert resource_version == "0", "with etcd 3.4 a watch from `now` fails for quiet kinds"
        for event in next(self._rounds):
            if isinstance(event, Exception):
                raise event
            yield event


def event(name: str, kind: str = "MODIFIED") -> Document:
    return {"type": kind, "raw_object": {"name": name}}


class EnoughError(Exception):
    """Ends a test's watch."""


def followed(monkeypatch: pytest.MonkeyPatch, watched: Watched, *refusals: Exception) -> list[str]:
    """The names of what was handed on, until `EnoughError`."""
    monkeypatch.setattr(volumes, "_ATTEMPT_AGAIN_SECONDS", 0)
    seen: list[str] = []
    left = list(refusals)

    def handle(item: Any) -> None:
        seen.append(item["name"])
        if left:
            raise left.pop(0)

    failed: queue.Queue[Exception] = queue.Queue()
    follow(cast(Resource, watched), handle, failed)
    assert isinstance(failed.get_nowait(), EnoughError)
    return seen


def test_a_watch_goes_on_after_it_ends_or_the_api_server_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(
        [event("one"), event("gone", "DELETED")],
        [error(500)],
        [event("two"), EnoughError()],
    )
    assert followed(monkeypatch, watched) == ["one", "two"]


def test_an_object_that_changed_or_went_meanwhile_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched([event("one"), event("two"), event("three"), EnoughError()])
    refusals = ConflictError(error(409)), NotFoundError(error(404))
    assert followed(monkeypatch, watched, *refusals) == ["one", "two", "three"]


def test_an_object_that_the_api_server_refuses_is_tried_again_with_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched([event("one"), event("never")], [event("one"), EnoughError()])
    assert followed(monkeypatch, watched, error(500)) == ["one", "one"]
