"""A revision that Knative gave up is made anew before it is waited for."""

from pathlib import Path

import pytest

from ft_serving.cluster.diagnosis.namespace import ClusterNamespace
from ft_serving.cluster.gate.readiness import try_again
from tests.cluster.diagnosis.recorded_api import recorded_api
from tests.cluster.diagnosis.recorded_snapshots import recorded

DEFAULT = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"


@pytest.mark.parametrize(
    ("recording", "deleted"),
    [
        ("gpu-given-up", ["gpu-predictor-00001"]),
        ("sound", []),
        ("starting-loading", []),
        ("standard-gpu", []),
    ],
)
def test_only_a_revision_that_failed_is_deleted(
    recording: str, deleted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, _ = recorded(recording)
    said: list[str] = []
    with recorded_api(snapshot) as api:
        monkeypatch.setattr(DEFAULT, str(api.kubeconfig(tmp_path)))
        try_again(ClusterNamespace(), snapshot.name, said.append)
        assert api.deleted == deleted
    assert said == [f"Revision {each} failed before; Knative makes it anew" for each in deleted]


def test_who_may_not_delete_is_told_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, _ = recorded("gpu-given-up")
    said: list[str] = []
    with recorded_api(snapshot) as api:
        monkeypatch.setattr(DEFAULT, str(api.kubeconfig(tmp_path)))
        api.refusals = {"/gpu-predictor-00001": 403}
        try_again(ClusterNamespace(), snapshot.name, said.append)
    assert said[0].startswith("A revision that failed before is not tried again: The API server answers 403")
