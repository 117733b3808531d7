"""The configuration files of the node's parts."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from local_platform.node import configuration

FILES = ("CONTAINERD", "CNI", "DOCKER", "REGISTRY_CONFIGURATION", "KUBELET_CONFIGURATION",
         "PROXY_CONFIGURATION")  # fmt: skip


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with every file."""
    for name in FILES:
        path: Path = getattr(configuration, name)
        folder = tmp_path / "cni" if name == "CNI" else tmp_path
        monkeypatch.setattr(configuration, name, folder / path.name)
    configuration.write_all()
    return tmp_path


def test_containerd_and_docker_share_one_socket_and_keep_to_the_platforms_folders(
    written: Path,
) -> None:
    containerd = tomllib.loads((written / "containerd.toml").read_text())
    docker = json.loads((written / "docker.json").read_text())

    assert containerd["root"] == "/var/lib/ft-serving/containerd"
    assert containerd["state"] == "/run/ft-serving/containerd"
    assert docker["containerd"] == containerd["grpc"]["address"]
    assert docker["data-root"] == "/var/lib/ft-serving/docker"
    assert docker["exec-root"] == "/run/ft-serving/docker"
    assert "pidfile" not in docker, "a stale one would keep dockerd from starting: parts.py"
    cri = containerd["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True, "runc dies without CAP_SYS_RESOURCE"
    assert cri["cni"]["conf_dir"] == str(written / "cni")


def test_docker_leaves_the_firewall_alone(written: Path) -> None:
    docker = json.loads((written / "docker.json").read_text())
    assert docker["iptables"] is False, "with its policy DROP pods could not reach each other"
    assert docker["bip"] == "172.30.0.1/24"


def test_pods_have_the_network_that_the_proxy_knows(written: Path) -> None:
    bridge, portmap = json.loads((written / "cni" / "10-ft-serving.conflist").read_text())[
        "plugins"
    ]
    proxy = yaml.safe_load((written / "kube-proxy.yaml").read_text())

    assert bridge["ipam"]["ranges"] == [[{"subnet": proxy["clusterCIDR"]}]]
    assert portmap["capabilities"] == {"portMappings": True}, "the ingress has a port of the node"
    assert proxy["conntrack"] == {"maxPerCore": 0, "min": 0}, "the sysctl is the machine's"


def test_the_kubelet_asks_the_api_server_whom_to_let_in(written: Path) -> None:
    kubelet = yaml.safe_load((written / "kubelet.yaml").read_text())

    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert kubelet["cgroupRoot"] == "/ft-serving", "what `down` removes"
    assert kubelet["clusterDNS"] == ["10.96.0.10"]


def test_the_registry_lets_images_be_deleted(written: Path) -> None:
    registry = yaml.safe_load((written / "registry.yaml").read_text())
    assert registry["storage"] == {
        "filesystem": {"rootdirectory": "/var/lib/ft-serving/registry"},
        "delete": {"enabled": True},
    }
    assert registry["http"] == {"addr": ":5000"}


def test_a_file_that_is_right_is_not_touched_and_one_cut_short_is_written_again(
    written: Path,
) -> None:
    proxy, kubelet = written / "kube-proxy.yaml", written / "kubelet.yaml"
    before, text = proxy.stat(), kubelet.read_text()
    kubelet.write_text(text[:50])

    configuration.write_all()

    after = proxy.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), (
        "kube-proxy ends when its file is written"
    )
    assert kubelet.read_text() == text
