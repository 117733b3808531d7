"""The provisioner of volumes, with an API that records its requests."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException

from local_platform.node import volumes
from local_platform.node.volumes import Provisioner, follow

UID = "01234567-89ab-cdef-0123-456789abcdef"

Document = dict[str, Any]


class FakeApi:
    """Records every request with its arguments."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Document]] = []
        self.refusal: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        def request(*values: Any, **given: Any) -> None:
            named = dict(zip(("name", "namespace", "body"), values, strict=False))
            self.requests.append((name, named | given))
            if self.refusal is not None:
                raise self.refusal

        return request


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def provisioner(api: FakeApi, tmp_path: Path) -> Provisioner:
    return Provisioner(cast(CoreV1Api, api), tmp_path)


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


def test_a_pending_claim_gets_a_folder_and_a_volume_of_its_own(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path
) -> None:
    api.refusal = ApiException(status=409)  # As if an earlier attempt had made it.

    provisioner.claim(claim(size="5Gi"))

    folder = tmp_path / "models-weights-01234567"
    assert folder.stat().st_mode & 0o777 == 0o770, "others of the machine stay out"
    ((request, given),) = api.requests
    assert request == "create_persistent_volume"
    assert given["body"]["metadata"]["name"] == f"pvc-{UID}"
    spec = given["body"]["spec"]
    assert spec["capacity"] == {"storage": "5Gi"}
    assert spec["accessModes"] == ["ReadWriteMany"]
    assert spec["claimRef"]["uid"] == UID
    assert spec["local"] == {"path": str(folder)}


@pytest.mark.parametrize(
    "other",
    [
        claim(storageClassName="another"),
        claim(volumeName="chosen-by-hand"),
        claim(phase="Lost"),
        claim(phase="Bound", volumeName="pvc-1", size="1024Mi"),
        claim(phase="Bound", volumeName="pvc-1", size="500Mi"),
    ],
    ids=["another class", "a volume by name", "lost", "as large in Mi", "smaller"],
)
def test_a_claim_that_needs_nothing_is_left_alone(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path, other: Document
) -> None:
    provisioner.claim(other)

    assert api.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_bound_claim_that_asks_for_more_gets_more_in_volume_and_status(
    provisioner: Provisioner, api: FakeApi
) -> None:
    provisioner.claim(claim(phase="Bound", volumeName="pvc-1", size="2Gi"))

    more = {"capacity": {"storage": "2Gi"}}
    assert [(request, given["name"], given["body"]) for request, given in api.requests] == [
        ("patch_persistent_volume", "pvc-1", {"spec": more}),
        (
            "patch_namespaced_persistent_volume_claim_status",
            "weights",
            {"status": {**more, "conditions": None}},
        ),
    ]


@pytest.mark.parametrize("left", ["models-weights-01234567", ".deleting-models-weights-01234567"])
def test_a_released_volume_is_deleted_with_its_files_also_after_a_cut(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path, left: str
) -> None:
    (tmp_path / left / "deep").mkdir(parents=True)

    provisioner.volume(volume(tmp_path / "models-weights-01234567"))

    assert list(tmp_path.iterdir()) == []
    assert api.requests == [("delete_persistent_volume", {"name": f"pvc-{UID}"})]


def test_volumes_in_use_retained_or_of_others_are_kept(
    provisioner: Provisioner, api: FakeApi, tmp_path: Path
) -> None:
    folder, another = tmp_path / "models-weights-01234567", tmp_path / "models-others-89abcdef"
    inner = folder / "inner"
    for each in (another, inner):
        each.mkdir(parents=True)
    foreign, by_hand, copy = volume(folder), volume(folder), volume(folder)
    foreign["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "another"}
    del by_hand["metadata"]["annotations"]
    copy["metadata"]["name"] = "restored"

    for one in (
        volume(folder, phase="Bound"), volume(folder, policy="Retain"), foreign, by_hand,
        copy, volume(another), volume(inner), volume(tmp_path / ".."),
    ):  # fmt: skip
        provisioner.volume(one)

    assert api.requests == []
    assert inner.is_dir()
    assert another.is_dir()


class EnoughError(Exception):
    """Ends a test's watch."""


def test_a_watch_goes_on_after_it_ends_or_a_request_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds: Iterator[list[str | Exception]] = iter([
        ["one", "gone"],
        [ApiException(status=410)],
        ["changed", "two", "refused", "never"],
        ["three", EnoughError()],
    ])  # fmt: skip
    refusals = {"changed": 409, "two": 404, "refused": 500}
    seen: list[str] = []

    class Watched:
        def stream(
            self, _: object, *, resource_version: str, timeout_seconds: int
        ) -> Iterator[Document]:
            assert resource_version == "0", "with etcd 3.4 a watch from `now` fails for quiet kinds"
            for item in next(rounds):
                if isinstance(item, Exception):
                    raise item
                kind = "DELETED" if item == "gone" else "MODIFIED"
                yield {"type": kind, "raw_object": {"name": item}}

    def handle(item: Any) -> None:
        seen.append(item["name"])
        if item["name"] in refusals:
            raise ApiException(status=refusals[item["name"]])

    monkeypatch.setattr(volumes, "_ATTEMPT_AGAIN_SECONDS", 0)
    monkeypatch.setattr(volumes, "Watch", Watched)
    failed: queue.Queue[Exception] = queue.Queue()
    follow(print, handle, failed)

    assert isinstance(failed.get_nowait(), EnoughError)
    assert seen == ["one", "changed", "two", "refused", "three"]
