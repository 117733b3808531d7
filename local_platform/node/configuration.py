"""Writes the configuration files of the node's parts, and the kubeconfigs of parts and user."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from local_platform.files import write_whole
from local_platform.node.certificates import (
    ADMINISTRATOR,
    AUTHORITY,
    CONTROLLER_MANAGER,
    KUBELET,
    PROXY,
    SCHEDULER,
    VOLUMES,
    CertificateHolder,
)
from local_platform.node.namespace import BUILD_NETWORK, CONTROL_GROUP, RESOLV_CONF
from local_platform.settings import (
    API_PORT,
    CLUSTER_DNS,
    CLUSTER_DOMAIN,
    CONTAINERD_SOCKET,
    DATA,
    KUBECONFIG,
    NODE,
    POD_NETWORK,
    REGISTRY,
    REGISTRY_PORT,
    RUNTIME,
)

_FOLDER = DATA / "configuration"
_CNI_PLUGINS = Path("/usr/lib/cni")  # Debian's containernetworking-plugins.

CONTAINERD = _FOLDER / "containerd.toml"
DOCKER = _FOLDER / "docker.json"
REGISTRY_CONFIGURATION = _FOLDER / "registry.yaml"
KUBELET_CONFIGURATION = _FOLDER / "kubelet.yaml"
PROXY_CONFIGURATION = _FOLDER / "kube-proxy.yaml"
CNI = _FOLDER / "cni" / "10-ft-serving.conflist"

PAUSE_IMAGE = f"{REGISTRY}/platform/pause:node"
"""The image that holds a pod's namespaces open; imported into containerd, never pulled."""


_NAME = "ft-serving"
"""The name of cluster, user and context in kubeconfigs."""


def path_of(holder: CertificateHolder) -> Path:
    """Return the kubeconfig of a part."""
    return DATA / "kubeconfigs" / holder.file


def write_all() -> None:
    """Write every file from settings and certificates; one that is right is not touched."""
    for path, text in (
        (CONTAINERD, _containerd()),
        (CNI, json.dumps(_network(), indent=2)),
        (DOCKER, json.dumps(_docker(), indent=2)),
        (REGISTRY_CONFIGURATION, yaml.safe_dump(_registry())),
        (KUBELET_CONFIGURATION, yaml.safe_dump(_kubelet())),
        (PROXY_CONFIGURATION, yaml.safe_dump(_proxy())),
    ):
        write_whole(path, text.encode(), mode=0o644)
    for holder in (CONTROLLER_MANAGER, SCHEDULER, KUBELET, PROXY, VOLUMES):
        _write_kubeconfig(path_of(holder), holder)
    _write_kubeconfig(KUBECONFIG, ADMINISTRATOR)


def _write_kubeconfig(path: Path, holder: CertificateHolder) -> None:
    cluster = {
        "server": f"https://127.0.0.1:{API_PORT}",
        "certificate-authority-data": _encoded(AUTHORITY.certificate),
    }
    user = {
        "client-certificate-data": _encoded(holder.certificate),
        "client-key-data": _encoded(holder.key),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": user}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
    }
    write_whole(path, yaml.safe_dump(document, sort_keys=False).encode(), mode=0o600)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _containerd() -> str:
    # containerd 1.6's `containerd config default` lists all settings.
    return f"""version = 2
root = "{DATA}/containerd"
state = "{RUNTIME}/containerd"

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE runc cannot set a negative score, and dies without a message.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_CNI_PLUGINS}"
    conf_dir = "{CNI.parent}"
"""


def _network() -> dict[str, Any]:
    return {
        "cniVersion": "0.4.0",
        "name": "ft-serving",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods0",
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def _docker() -> dict[str, Any]:
    return {
        "data-root": str(DATA / "docker"),
        "exec-root": str(RUNTIME / "docker"),
        "containerd": str(CONTAINERD_SOCKET),
        "cgroup-parent": f"/{CONTROL_GROUP}/docker",
        "bip": BUILD_NETWORK.replace(".0/", ".1/"),
        # Docker would set the policy of FORWARD to DROP, and pods could not reach each other.
        # The one rule that builds need is made with the namespaces.
        "iptables": False,
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "2"},
    }


def _registry() -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": str(DATA / "registry")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f":{REGISTRY_PORT}"},
    }


def _kubelet() -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CONTROL_GROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(AUTHORITY.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(KUBELET.certificate),
        "tlsPrivateKeyFile": str(KUBELET.key),
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(RESOLV_CONF),
        "volumePluginDir": str(DATA / "kubelet-plugins"),
        "maxPods": 110,
        # Other work shares the machine's disk, so a percentage of it says nothing about pods.
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "1Gi",
            "imagefs.available": "1Gi",
        },
        "imageGCHighThresholdPercent": 100,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 2,
        "shutdownGracePeriod": "0s",
    }


def _proxy() -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "hostnameOverride": NODE,
        "clientConnection": {"kubeconfig": str(path_of(PROXY))},
        "clusterCIDR": POD_NETWORK,
        "mode": "iptables",
        # Its sysctl belongs to the machine, not to the network namespace.
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
