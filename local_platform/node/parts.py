"""The parts of the node: the command, the files and the probe of each."""

import sys
from collections.abc import Callable
from pathlib import Path

from local_platform.node.certificates import (
    ADMINISTRATOR,
    API_SERVER,
    AUTHORITY,
    CONTROLLER_MANAGER,
    KUBELET,
    KUBELET_CLIENT,
    PROXY,
    SCHEDULER,
    SERVICE_ACCOUNTS,
    VOLUMES,
)
from local_platform.node.configuration import (
    CONTAINERD,
    DOCKER,
    KUBELET_CONFIGURATION,
    PROXY_CONFIGURATION,
    REGISTRY_CONFIGURATION,
    path_of,
)
from local_platform.node.namespace import HOST_NETWORK
from local_platform.node.services import Service
from local_platform.settings import (
    API_PORT,
    CLUSTER_DOMAIN,
    CONTAINERD_SOCKET,
    DATA,
    DOCKER_SOCKET,
    HUB_PORT,
    NODE,
    NODE_ADDRESS,
    POD_NETWORK,
    REGISTRY_PORT,
    SERVICE_NETWORK,
)

_CODE = Path(__file__).resolve().parents[1]

MODELS = _CODE.parent / "models"
"""The models that the hub mirror serves."""

# Plain: the address is the node's own loopback, which no pod and no user of the machine reaches.
_ETCD_URL = "http://127.0.0.1:2379"

# Go collects before its memory doubles: the parts share one small machine. The API server does not,
# because that was a quarter of its work.
_FRUGAL = {"GOGC": "50"}

_ASK = ("curl", "--silent", "--show-error", "--max-time", "3", "--output", "/dev/null")
_CURL = (*_ASK, "--fail")


def services(tool: Callable[[str], Path]) -> list[Service]:
    """Return every part, in the order in which they need each other.

    Args:
        tool: Gives the path of a tool of the toolchain by its name.
    """
    return [
        Service(
            name="uplink",
            command=["nsenter", f"--net={HOST_NETWORK}", "--",
                     *_python("local_platform.node.uplink")],
            files=_sources("node/uplink.py"),
            probe=["sh", "-c", f"ip -4 address show dev tap0 | grep --quiet {NODE_ADDRESS}/"],
        ),
        Service(
            name="containerd",
            command=["containerd", "--config", str(CONTAINERD)],
            files=(CONTAINERD,),
            probe=["ctr", f"--address={CONTAINERD_SOCKET}", "version"],
        ),
        Service(
            name="etcd",
            command=[
                "etcd",
                f"--data-dir={DATA / 'etcd'}",
                f"--listen-client-urls={_ETCD_URL}",
                f"--advertise-client-urls={_ETCD_URL}",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--auto-compaction-retention=1",
                # Until a snapshot every change stays in memory, and is read again at each start;
                # the default of 100000 suits clusters whose members lag behind.
                "--snapshot-count=1000",
                "--max-snapshots=2",
                "--max-wals=2",
                "--logger=zap",
                "--log-level=warn",
            ],
            environment=_FRUGAL,
            probe=[*_CURL, f"{_ETCD_URL}/health"],
        ),
        Service(
            name="registry",
            command=["docker-registry", "serve", str(REGISTRY_CONFIGURATION)],
            files=(REGISTRY_CONFIGURATION,),
            probe=[*_CURL, f"http://127.0.0.1:{REGISTRY_PORT}/v2/"],
        ),
        Service(
            name="dockerd",
            # No pid file: after a kill or another start of the node, its number is another
            # process's, and dockerd would refuse to start.
            command=["dockerd", f"--config-file={DOCKER}", "--pidfile=",
                     f"--host=unix://{DOCKER_SOCKET}"],
            files=(DOCKER,),
            probe=[*_CURL, "--unix-socket", str(DOCKER_SOCKET), "http://docker/_ping"],
        ),
        Service(
            name="hub",
            command=_python("local_platform.hub", f"--root={MODELS}", "--host=0.0.0.0",
                            f"--port={HUB_PORT}"),
            files=_sources("hub/*.py"),
            probe=[*_ASK, f"http://127.0.0.1:{HUB_PORT}/"],
        ),
        Service(
            name="kube-apiserver",
            command=[
                str(tool("kube-apiserver")),
                f"--etcd-servers={_ETCD_URL}",
                f"--secure-port={API_PORT}",
                f"--advertise-address={NODE_ADDRESS}",
                f"--service-cluster-ip-range={SERVICE_NETWORK}",
                f"--client-ca-file={AUTHORITY.certificate}",
                f"--tls-cert-file={API_SERVER.certificate}",
                f"--tls-private-key-file={API_SERVER.key}",
                f"--kubelet-certificate-authority={AUTHORITY.certificate}",
                f"--kubelet-client-certificate={KUBELET_CLIENT.certificate}",
                f"--kubelet-client-key={KUBELET_CLIENT.key}",
                # By its name a node would be looked up in DNS, where it is not.
                "--kubelet-preferred-address-types=InternalIP",
                f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
                f"--service-account-key-file={SERVICE_ACCOUNTS.certificate}",
                f"--service-account-signing-key-file={SERVICE_ACCOUNTS.key}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                # It needs progress notices, which Debian's etcd 3.4 does not send, and complains
                # often.
                "--feature-gates=SizeBasedListCostEstimate=false",
                "--profiling=false",
            ],
            files=(AUTHORITY.certificate, API_SERVER.certificate, KUBELET_CLIENT.certificate),
            probe=[
                *_CURL,
                *("--cacert", str(AUTHORITY.certificate)),
                *("--cert", str(ADMINISTRATOR.certificate)),
                *("--key", str(ADMINISTRATOR.key)),
                f"https://127.0.0.1:{API_PORT}/readyz",
            ],
        ),
        Service(
            name="kube-controller-manager",
            command=[
                str(tool("kube-controller-manager")),
                f"--kubeconfig={path_of(CONTROLLER_MANAGER)}",
                "--leader-elect=false",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={SERVICE_ACCOUNTS.key}",
                f"--root-ca-file={AUTHORITY.certificate}",
                f"--cluster-cidr={POD_NETWORK}",
                "--profiling=false",
            ],
            environment=_FRUGAL,
            files=(path_of(CONTROLLER_MANAGER),),
            probe=[*_CURL, "--insecure", "https://127.0.0.1:10257/healthz"],
        ),
        Service(
            name="kube-scheduler",
            command=[str(tool("kube-scheduler")), f"--kubeconfig={path_of(SCHEDULER)}",
                     "--leader-elect=false", "--profiling=false"],
            environment=_FRUGAL,
            files=(path_of(SCHEDULER),),
            probe=[*_CURL, "--insecure", "https://127.0.0.1:10259/healthz"],
        ),
        Service(
            name="kubelet",
            command=[
                str(tool("kubelet")),
                f"--config={KUBELET_CONFIGURATION}",
                f"--kubeconfig={path_of(KUBELET)}",
                f"--hostname-override={NODE}",
                f"--node-ip={NODE_ADDRESS}",
            ],
            files=(KUBELET_CONFIGURATION, path_of(KUBELET)),
            probe=[*_CURL, "http://127.0.0.1:10248/healthz"],
        ),
        Service(
            name="kube-proxy",
            command=[str(tool("kube-proxy")), f"--config={PROXY_CONFIGURATION}"],
            environment=_FRUGAL,
            files=(PROXY_CONFIGURATION, path_of(PROXY)),
            probe=[*_CURL, "http://127.0.0.1:10256/healthz"],
        ),
        # It only watches, so no probe can ask it anything.
        Service(
            name="volumes",
            command=_python("local_platform.node.volumes", f"--kubeconfig={path_of(VOLUMES)}"),
            files=(path_of(VOLUMES), *_sources("node/volumes.py")),
        ),
    ]  # fmt: skip


def _sources(pattern: str) -> tuple[Path, ...]:
    """Return files of the platform's own code, so that a part runs the checkout's code."""
    return (_CODE / "settings.py", *sorted(_CODE.glob(pattern)))


def _python(module: str, *arguments: str) -> list[str]:
    # The checkout's own interpreter, by one name: a virtual environment has several.
    return [str(Path(sys.prefix, "bin", "python")), "-m", module, *arguments]
