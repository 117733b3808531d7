"""The objects of KServe's controller, without cert-manager, Istio and other model servers."""

import base64
import copy
import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from local_platform import settings
from local_platform.addons.manifests import (
    Manifest,
    ObjectName,
    identity,
    only,
    parse,
    upstream,
    without_descriptions,
)
from local_platform.errors import PlatformError
from local_platform.node.certificates import AUTHORITY, KSERVE_WEBHOOK

NAMESPACE: Final = "kserve"

_CONFIG: Final = ObjectName("ConfigMap", NAMESPACE, "inferenceservice-config")

# cert-manager's kinds; an empty secret that nothing reads; and the objects of the proxy before the
# metrics, whose image upstream takes from a hub.
_DROPPED_KINDS: Final = {"Certificate", "Issuer"}
_DROPPED: Final = {
    ObjectName("Secret", NAMESPACE, "kserve-webhook-server-secret"),
    ObjectName("Service", NAMESPACE, "kserve-controller-manager-metrics-service"),
    ObjectName("Service", NAMESPACE, "kserve-controller-manager-service"),
    ObjectName("ClusterRole", None, "kserve-proxy-role"),
    ObjectName("ClusterRoleBinding", None, "kserve-proxy-rolebinding"),
}

_SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "deploy": {"defaultDeploymentMode": "Knative"},
    "ingress": {
        "disableIstioVirtualHost": True,
        "ingressClassName": settings.INGRESS_CLASS,
        "ingressDomain": settings.INGRESS_DOMAIN,
    },
    # Upstream's default requests 1 CPU and 2 GiB for a service that requests nothing.
    "inferenceService": {
        "resource": {"cpuLimit": "1", "memoryLimit": "2Gi",
                     "cpuRequest": "50m", "memoryRequest": "128Mi"},
    },
}  # fmt: skip


def render(kubectl: Path, folder: Path) -> list[Manifest]:
    """Return what upstream would apply: its `config/default` by kustomize, and its configuration.

    Raises:
        PlatformError: kustomize failed, or the configuration is missing.
    """
    config = folder / "kserve" / "config"
    done = subprocess.run(
        [str(kubectl), "kustomize", str(config / "default")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise PlatformError(f"kustomize failed on KServe's manifests: {done.stderr.strip()}")
    configuration = only(upstream(config / "configmap"), _CONFIG)
    return [*parse(done.stdout), configuration]


def manifests(rendered: list[Manifest], image: str) -> list[Manifest]:
    """Return the objects of KServe from rendered ones, with the controller's image.

    Raises:
        PlatformError: Upstream's manifests lack what is changed here.
    """
    kept = [
        _fitted(copy.deepcopy(manifest), image)
        for manifest in rendered
        if manifest["kind"] not in _DROPPED_KINDS and identity(manifest) not in _DROPPED
    ]
    namespace: Manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE},
    }
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "kserve-webhook-server-cert", "namespace": NAMESPACE},
        "data": {
            "tls.crt": _encoded(KSERVE_WEBHOOK.certificate),
            "tls.key": _encoded(KSERVE_WEBHOOK.key),
        },
    }
    return [namespace, secret, *kept]


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _fitted(manifest: Manifest, image: str) -> Manifest:
    manifest["metadata"].get("annotations", {}).pop("cert-manager.io/inject-ca-from", None)
    manifest["metadata"].pop("creationTimestamp", None)
    match manifest["kind"]:
        case "CustomResourceDefinition":
            return without_descriptions(manifest)
        case "ConfigMap":
            return _configuration(manifest)
        case "Deployment":
            return _deployment(manifest, image)
        case "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration":
            for webhook in manifest["webhooks"]:
                webhook["clientConfig"]["caBundle"] = _encoded(AUTHORITY.certificate)
    return manifest


def _configuration(manifest: Manifest) -> Manifest:
    data = manifest["data"]
    data.pop("_example", None)
    for name, changes in _SETTINGS.items():
        if name not in data:
            raise PlatformError(f"upstream's {_CONFIG} no longer holds {name}")
        data[name] = json.dumps(json.loads(data[name]) | dict(changes), indent=2, sort_keys=True)
    return manifest


def _deployment(manifest: Manifest, image: str) -> Manifest:
    template = manifest["spec"]["template"]
    (manager,) = (one for one in template["spec"]["containers"] if one["name"] == "manager")
    manager["image"] = image
    manager["imagePullPolicy"] = "IfNotPresent"
    # There is only one, so it elects no leader, and nothing asks it for metrics.
    manager["args"] = ["--metrics-addr=0"]
    # Upstream's limit of a tenth of a core makes its start take most of a minute.
    manager["resources"] = {
        "requests": {"cpu": "10m", "memory": "96Mi"},
        "limits": {"memory": "512Mi"},
    }
    manager["env"].append({"name": "GOMEMLIMIT", "value": "128MiB"})
    manager["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 2}
    template["spec"]["containers"] = [manager]
    # A new certificate makes a new pod, because the old pod would serve the old one for a minute.
    fingerprint = hashlib.sha256(KSERVE_WEBHOOK.certificate.read_bytes()).hexdigest()[:16]
    template["metadata"].setdefault("annotations", {})["ft-serving.dev/certificate"] = fingerprint
    manifest["spec"]["replicas"] = 1
    manifest["spec"]["strategy"] = {"type": "Recreate"}
    return manifest
