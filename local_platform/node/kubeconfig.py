"""Writes kubeconfigs: the user's, and one for each part that calls the API server."""

import base64
from pathlib import Path

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
from local_platform.settings import API_PORT, DATA, KUBECONFIG

NAME = "ft-serving"
"""The name of cluster, user and context."""


def path_of(identity: CertificateHolder) -> Path:
    """Return the kubeconfig of a part."""
    return DATA / "kubeconfigs" / identity.file


def write_all() -> None:
    """Write every kubeconfig from the certificates as they are now."""
    for identity in (CONTROLLER_MANAGER, SCHEDULER, KUBELET, PROXY, VOLUMES):
        _write(path_of(identity), identity)
    _write(KUBECONFIG, ADMINISTRATOR)


def _write(path: Path, identity: CertificateHolder) -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "clusters": [
            {
                "name": NAME,
                "cluster": {
                    "server": f"https://127.0.0.1:{API_PORT}",
                    "certificate-authority-data": _encoded(AUTHORITY.certificate),
                },
            }
        ],
        "users": [
            {
                "name": NAME,
                "user": {
                    "client-certificate-data": _encoded(identity.certificate),
                    "client-key-data": _encoded(identity.key),
                },
            }
        ],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
    }
    write_whole(path, yaml.safe_dump(document, sort_keys=False).encode(), mode=0o600)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
