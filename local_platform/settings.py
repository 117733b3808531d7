"""The folders of the embedded platform on a machine, and its fixed addresses.

One machine has one platform: its folders, ports and node address are fixed, so that certificates,
kubeconfig and image references stay valid through restarts, reboots and changes of the machine's
own network.
"""

import os
from collections.abc import Callable
from pathlib import Path

Report = Callable[[str], None]
"""Takes a line that tells the user what is done, and how far it is."""

DATA = Path("/var/lib/ft-serving")
"""The folder that stays after `down`, unless with `--purge`: volumes, images, objects, stacks."""

RUNTIME = Path("/run/ft-serving")
"""Sockets and service folders; empty after a reboot."""

DATA_NAMES = frozenset({
    "bin", "certificates", "configuration", "containerd", "demo", "docker", "env", "etcd",
    "kubeconfig", "kubeconfigs", "kubelet", "kubelet-plugins", "log", "made-folders", "passphrase",
    "pulumi", "registry", "stacks", "volumes",
})  # fmt: skip
"""The names that the platform makes in `DATA`; others are someone else's and never deleted."""

RUNTIME_NAMES = frozenset({
    "cni", "containerd", "docker", "docker.sock", "host-network", "kubectl", "resolv.conf",
    "services", "slirp4netns.sock",
})  # fmt: skip
"""The names that the platform makes in `RUNTIME`, likewise."""

LOGS = DATA / "log"
VOLUMES = DATA / "volumes"
STACKS = DATA / "stacks"
"""The folder of Pulumi's file backend."""

KUBECONFIG = DATA / "kubeconfig"
DOCKER_SOCKET = RUNTIME / "docker.sock"
CONTAINERD_SOCKET = RUNTIME / "containerd" / "containerd.sock"

NODE = "ft-serving"
"""The node's name."""

NODE_ADDRESS = "10.0.2.100"
"""The node's address, reachable from pods. slirp4netns(1) gives it to the namespace's tap0."""

POD_NETWORK = "10.85.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
CLUSTER_DNS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"

# Each is the same port inside the node's network namespace and on the machine's 127.0.0.1.
API_PORT = 6443
REGISTRY_PORT = 5000
INGRESS_PORT = 8080
HUB_PORT = 8090

REGISTRY = f"localhost:{REGISTRY_PORT}"
"""The first part of the names of images in the local registry, for Docker and for pods alike."""

INGRESS_CLASS = "traefik"
"""The class of Ingresses, which services in mode Standard have."""

INGRESS_DOMAIN = "localhost"
"""The end of served models' hosts; RFC 6761 gives such names to this machine, without DNS."""

STORAGE_CLASS = "ft-serving-shared"
"""The class of dynamic volumes, ReadWriteMany."""

NAMESPACE = "ft-serving-platform"
"""The namespace of the platform's own pods and services, without those of Knative and KServe."""

HUB_URL = f"http://model-hub.{NAMESPACE}:{HUB_PORT}"
"""The model hub mirror, for pods."""


def cache() -> Path:
    """Return the folder of what is slow to build, which all checkouts share."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ft-serving"
