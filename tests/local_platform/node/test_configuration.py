"""The configuration files and kubeconfigs of the node's parts."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_platform.node import certificates, configuration

FILES = ("CONTAINERD", "CNI", "DOCKER", "REGISTRY_CONFIGURATION", "KUBELET_CONFIGURATION",
         "PROXY_CONFIGURATION")  # fmt: skip


@pytest.fixture
def written(
    tmp_path: Path, certificate_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Every configuration by the name of its file."""
    monkeypatch.setattr(configuration, "DATA", tmp_path)
    monkeypatch.setattr(configuration, "KUBECONFIG", tmp_path / "kubeconfig")
    certificates.ensure()
    for name in FILES:
        path: Path = getattr(configuration, name)
        monkeypatch.setattr(configuration, name, tmp_path / path.name)
    configuration.write_all()
    loaders: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".yaml": yaml.safe_load}
    return {
        path.stem: loaders.get(path.suffix, json.loads)(path.read_text())
        for path in tmp_path.glob("*.*")
    }


def test_containerd_and_docker_share_one_socket_and_keep_to_the_platforms_folders(
    written: dict[str, Any],
) -> None:
    containerd, docker = written["containerd"], written["docker"]
    assert containerd["root"].endswith("/containerd")
    assert containerd["state"] == "/run/ft-serving/containerd"
    cri = containerd["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True, "runc dies without CAP_SYS_RESOURCE"
    assert docker["containerd"] == containerd["grpc"]["address"]
    assert docker["data-root"].endswith("/docker")
    assert docker["exec-root"] == "/run/ft-serving/docker"
    assert docker["iptables"] is False, "with its policy DROP pods could not reach each other"
    assert docker["bip"] == "172.30.0.1/24"
    assert written["registry"]["storage"]["delete"] == {"enabled": True}


def test_pods_have_the_network_of_the_proxy_and_the_kubelet_asks_the_api_server(
    written: dict[str, Any],
) -> None:
    bridge, portmap = written["10-ft-serving"]["plugins"]
    proxy, kubelet = written["kube-proxy"], written["kubelet"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": proxy["clusterCIDR"]}]]
    assert portmap["capabilities"] == {"portMappings": True}, "the ingress has a port of the node"
    assert proxy["conntrack"] == {"maxPerCore": 0, "min": 0}, "the sysctl is the machine's"
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert kubelet["cgroupRoot"] == "/ft-serving", "what `down` removes"


def test_a_file_that_is_right_is_not_touched_and_one_cut_short_is_written_again(
    written: dict[str, Any], tmp_path: Path
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


def test_each_part_has_a_kubeconfig_that_only_root_reads_and_the_user_has_the_administrators(
    written: dict[str, Any], tmp_path: Path
) -> None:
    parts = list((tmp_path / "kubeconfigs").iterdir())
    assert {path.name for path in parts} == {
        "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "volumes",
    }  # fmt: skip
    for path in (tmp_path / "kubeconfig", *parts):
        assert path.stat().st_mode & 0o777 == 0o600
    document = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    (cluster,), (user,), (context,) = (document[name] for name in ("clusters", "users", "contexts"))
    assert cluster["cluster"]["server"] == "https://127.0.0.1:6443"
    assert user["user"]["client-key-data"] == configuration._encoded(certificates.ADMINISTRATOR.key)
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert document["current-context"] == context["name"]
