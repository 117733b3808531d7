"""Applying many objects."""

import time
from pathlib import Path

import pytest

from local_platform.addons import apply
from local_platform.addons.apply import apply_all
from local_platform.addons.cluster import ClusterObjects
from local_platform.addons.manifests import Manifest, identity
from local_platform.errors import ApiUnavailableError, ApplyError


def _manifest(kind: str, name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


class RecordingCluster(ClusterObjects):
    """A cluster that takes objects as its test says, and remembers the order."""

    def __init__(self, failures: dict[str, list[ApplyError]] | None = None) -> None:
        self.applied: list[str] = []
        self._failures = failures or {}
        self._asked = 0

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        name = manifest["metadata"]["name"]
        if self._failures.get(name):
            raise self._failures[name].pop(0)
        self.applied.append(str(identity(manifest)))
        return manifest

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> list[Manifest]:
        # A kind is served a moment after it was created; until then its conditions are null.
        self._asked += 1
        conditions = [{"type": "Established", "status": "True"}] if self._asked > 1 else None
        return [
            _manifest("CustomResourceDefinition", "kinds") | {"status": {"conditions": conditions}}
        ]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "_PAUSE_S", 0.001)


def test_namespaces_and_kinds_come_before_what_is_of_them() -> None:
    cluster = RecordingCluster()
    objects = [
        _manifest("Kind", "object"),
        _manifest("CustomResourceDefinition", "kinds"),
        _manifest("Namespace", "space"),
    ]
    apply_all(cluster, objects, print, time.monotonic() + 5)
    assert set(cluster.applied[:2]) == {"Namespace space", "CustomResourceDefinition kinds"}
    assert cluster.applied[2:] == ["Kind object"]


def test_an_object_whose_webhook_is_still_starting_is_applied_later() -> None:
    cluster = RecordingCluster({"config": [ApiUnavailableError("webhook: refused")] * 3})
    told: list[str] = []
    objects = [_manifest("ConfigMap", "config"), _manifest("Deployment", "webhook")]
    apply_all(cluster, objects, told.append, time.monotonic() + 5)
    assert cluster.applied == ["Deployment webhook", "ConfigMap config"], (
        "the webhook's own pod must not wait for what waits for it"
    )
    assert told == ["waiting to apply 1 objects: webhook: refused"], "once, not at every attempt"


def test_all_refusals_are_reported_at_once_and_not_tried_again() -> None:
    cluster = RecordingCluster({"a": [ApplyError("a: bad")], "b": [ApplyError("b: worse")]})
    objects = [_manifest("ConfigMap", name) for name in ("a", "b", "c")]
    with pytest.raises(ApplyError, match=r"^2 objects were not taken[^\n]*\n  a: bad\n  b: worse$"):
        apply_all(cluster, objects, print, time.monotonic() + 5)
    assert cluster.applied == ["ConfigMap c"]


def test_patience_ends_with_the_reason() -> None:
    cluster = RecordingCluster({"a": [ApiUnavailableError("a: not yet")] * 1000})
    with pytest.raises(ApplyError, match=r"1 objects were not taken.*\n  a: not yet"):
        apply_all(cluster, [_manifest("ConfigMap", "a")], print, time.monotonic() + 0.02)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ApplyError, match=r"nowhere cannot be used: .*local_platform up"):
        ClusterObjects(tmp_path / "nowhere")
