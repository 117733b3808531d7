"""The configuration files and kubeconfigs of the node's parts."""

import json
from pathlib import Path

import pytest
import yaml

from local_platform.node import certificates, configuration

FILES = ("CONTAINERD", "CNI", "DOCKER", "REGISTRY_CONFIGURATION", "KUBELET_CONFIGURATION",
         "PROXY_CONFIGURATION")  # fmt: skip


@pytest.fixture
def written(tmp_path: Path, certificate_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is written."""
    monkeypatch.setattr(configuration, "DATA", tmp_path)
    monkeypatch.setattr(configuration, "KUBECONFIG", tmp_path / "kubeconfig")
    certificates.ensure()
    for name in FILES:
        path: Path = getattr(configuration, name)
        monkeypatch.setattr(configuration, name, tmp_path / path.name)
    configuration.write_all()


def test_a_file_that_is_right_is_not_touched_and_one_cut_short_is_written_again(
    written: None, tmp_path: Path
) -> None:
    proxy, kubelet = tmp_path / "kube-proxy.yaml", tmp_path / "kubelet.yaml"
    before, text = proxy.stat(), kubelet.read_text()
    kubelet.write_text(text[:50])

    configuration.write_all()

    after = proxy.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), (
        "kube-proxy ends when its file is written"
    )
    assert kubelet.read_text() == text


def test_each_part_has_a_kubeconfig_that_only_root_reads(written: None, tmp_path: Path) -> None:
    parts = list((tmp_path / "kubeconfigs").iterdir())
    assert {path.name for path in parts} == {
        "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "volumes",
    }  # fmt: skip
    for path in (tmp_path / "kubeconfig", *parts):
        assert path.stat().st_mode & 0o777 == 0o600


def test_nobody_is_let_in_without_a_name_and_the_machines_firewall_stays(
    written: None, tmp_path: Path
) -> None:
    kubelet = yaml.safe_load((tmp_path / "kubelet.yaml").read_text())
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["cgroupRoot"] == "/ft-serving", "what `down` removes"
    assert json.loads((tmp_path / "docker.json").read_text())["iptables"] is False
