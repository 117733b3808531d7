"""The objects of the add-ons, ours and upstream's with our changes."""

import base64
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_platform.addons import knative, kserve
from local_platform.addons.manifests import (
    Manifest,
    own,
)
from local_platform.errors import PlatformError
from local_platform.node import certificates
from local_platform.node.certificates import AUTHORITY, KSERVE_WEBHOOK

OWN_IMAGES = {
    "COREDNS_IMAGE": "registry/coredns@sha256:1",
    "TRAEFIK_IMAGE": "registry/traefik@sha256:2",
}
IMAGES = {name: f"registry/{name}@sha256:1" for name in knative.PROGRAMS}


def ours() -> list[Manifest]:
    return [one for name in ("platform", "coredns", "traefik") for one in own(name, OWN_IMAGES)]


def named(kind: str, name: str, namespace: str | None = None, **fields: Any) -> Manifest:
    place = {} if namespace is None else {"namespace": namespace}
    return {"kind": kind, "metadata": {"name": name, **place}, **fields}


def test_our_containers_have_no_rights_that_they_do_not_need() -> None:
    pods = [one["spec"]["template"]["spec"] for one in ours() if one["kind"] == "Deployment"]
    assert [pod["containers"][0]["image"] for pod in pods] == list(OWN_IMAGES.values())
    for pod in pods:
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_a_change_of_upstreams_knative_is_told(tmp_path: Path) -> None:
    core, networking = tmp_path / "serving/config/core", tmp_path / "networking/config"
    core.mkdir(parents=True)
    with pytest.raises(PlatformError, match="no longer hold ConfigMap knative-serving/config-"):
        knative.manifests(tmp_path, IMAGES)
    names = (
        "autoscaler", "deployment", "domain", "features", "network", "observability",
    )  # fmt: skip
    maps = [named("ConfigMap", f"config-{name}", "knative-serving", data={}) for name in names]
    networking.mkdir(parents=True)
    (networking / "all.yaml").write_text(yaml.safe_dump_all(maps))
    containers = [{"image": "ko://knative.dev/serving/cmd/net-new"}]
    pod = {"template": {"spec": {"containers": containers}}}
    new = named("Deployment", "net-new", "knative-serving", spec=pod)
    (core / "new.yaml").write_text(yaml.safe_dump(new))
    with pytest.raises(PlatformError, match="program that is not built: net-new"):
        knative.manifests(tmp_path, IMAGES)


KSERVE = [
    named(
        "Deployment",
        "kserve-controller-manager",
        "kserve",
        spec={
            "template": {
                "metadata": {},
                "spec": {
                    "containers": [
                        {"name": "manager", "env": [], "readinessProbe": {}},
                        {"name": "kube-rbac-proxy"},
                    ]
                },
            }
        },
    ),
    named("ValidatingWebhookConfiguration", "hooks", webhooks=[{"clientConfig": {}}]),
    named("Certificate", "serving-cert", "kserve"),
    named("ClusterRole", "kserve-proxy-role"),
    named(
        "ConfigMap",
        "inferenceservice-config",
        "kserve",
        data={
            "deploy": '{"defaultDeploymentMode": "Serverless"}',
            "ingress": '{"ingressDomain": "example.com", "urlScheme": "http"}',
            "inferenceService": "{}",
            "logger": "{}",
        },
    ),
]


def test_kserves_webhook_has_a_certificate_of_the_nodes_authority_and_a_new_pod_for_a_new_one(
    certificate_folder: Path,
) -> None:
    def fitted() -> dict[str, Manifest]:
        certificates.ensure()
        return {one["kind"]: one for one in kserve.manifests(KSERVE, "registry/kserve@sha256:1")}

    found = fitted()
    (hook,) = found["ValidatingWebhookConfiguration"]["webhooks"]
    authority = base64.b64decode(hook["clientConfig"]["caBundle"])
    assert authority == AUTHORITY.certificate.read_bytes()
    assert base64.b64decode(found["Secret"]["data"]["tls.key"]) == KSERVE_WEBHOOK.key.read_bytes()
    KSERVE_WEBHOOK.certificate.unlink()
    again = fitted()["Deployment"]["spec"]["template"]
    assert again != found["Deployment"]["spec"]["template"]


def test_a_change_of_upstreams_kserve_is_told(certificate_folder: Path, tmp_path: Path) -> None:
    certificates.ensure()
    changed = copy.deepcopy(KSERVE)
    del changed[-1]["data"]["ingress"]
    with pytest.raises(PlatformError, match="no longer holds ingress"):
        kserve.manifests(changed, "image")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'no such layer' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    with pytest.raises(PlatformError, match=r"kustomize failed .*: no such layer"):
        kserve.render(kubectl, tmp_path)
