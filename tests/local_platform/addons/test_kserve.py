"""The objects of KServe, without cert-manager, Istio and a proxy."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from local_platform.addons import kserve
from local_platform.addons.manifests import Manifest, ObjectName, only
from local_platform.errors import PlatformError
from local_platform.node import certificates
from local_platform.node.certificates import AUTHORITY, KSERVE_WEBHOOK


@pytest.fixture(autouse=True)
def made_certificates(certificate_folder: Path) -> None:
    certificates.ensure()


def _rendered() -> list[Manifest]:
    manager: dict[str, Any] = {
        "name": "manager",
        "image": "kserve/kserve-controller:latest",
        "args": ["--leader-elect"],
        "env": [{"name": "SECRET_NAME", "value": "kserve-webhook-server-cert"}],
        "readinessProbe": {"initialDelaySeconds": 30, "httpGet": {"path": "/readyz"}},
        "resources": {"limits": {"cpu": "100m"}},
    }
    return [
        {
            "kind": "Deployment",
            "metadata": {"name": "kserve-controller-manager", "namespace": "kserve"},
            "spec": {
                "template": {
                    "metadata": {"annotations": {"kept": "yes"}},
                    "spec": {"containers": [manager, {"name": "kube-rbac-proxy"}]},
                }
            },
        },
        {
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {
                "name": "inferenceservice.serving.kserve.io",
                "annotations": {"cert-manager.io/inject-ca-from": "kserve/serving-cert"},
                "creationTimestamp": None,
            },
            "webhooks": [{"clientConfig": {"service": {"name": "s"}}}],
        },
        {"kind": "Certificate", "metadata": {"name": "serving-cert", "namespace": "kserve"}},
        {"kind": "ClusterRole", "metadata": {"name": "kserve-proxy-role"}},
        {"kind": "ClusterRole", "metadata": {"name": "kserve-manager-role"}},
        {
            "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
            "data": {
                "_example": "# documentation",
                "deploy": '{"defaultDeploymentMode": "Serverless"}',
                "ingress": '{"ingressDomain": "example.com", "urlScheme": "http"}',
                "inferenceService": '{"resource": {"cpuRequest": "1", "memoryRequest": "2Gi"}}',
                "logger": "{}",
            },
        },
    ]


def _fitted(rendered: list[Manifest]) -> list[Manifest]:
    return kserve.manifests(rendered, "registry/kserve@sha256:1")


def test_the_controller_runs_without_a_proxy_from_our_image() -> None:
    wanted = ObjectName("Deployment", "kserve", "kserve-controller-manager")
    template = only(_fitted(_rendered()), wanted)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == "registry/kserve@sha256:1"
    assert container["args"] == ["--metrics-addr=0"]
    assert "cpu" not in container["resources"]["limits"], "a tenth of a core starts in a minute"
    assert template["metadata"]["annotations"]["kept"] == "yes"
    KSERVE_WEBHOOK.certificate.unlink()
    certificates.ensure()
    again = only(_fitted(_rendered()), wanted)["spec"]["template"]
    assert again != template, "a new certificate replaces the pod"


def test_the_webhooks_trust_the_authority_of_the_certificate_in_the_secret() -> None:
    found = _fitted(_rendered())
    wanted = "inferenceservice.serving.kserve.io"
    hooks = only(found, ObjectName("ValidatingWebhookConfiguration", None, wanted))
    secret = only(found, ObjectName("Secret", "kserve", "kserve-webhook-server-cert"))
    authority = hooks["webhooks"][0]["clientConfig"]["caBundle"]
    assert base64.b64decode(authority) == AUTHORITY.certificate.read_bytes()
    assert base64.b64decode(secret["data"]["tls.crt"]) == KSERVE_WEBHOOK.certificate.read_bytes()
    assert base64.b64decode(secret["data"]["tls.key"]) == KSERVE_WEBHOOK.key.read_bytes()
    assert hooks["metadata"] == {"name": wanted, "annotations": {}}


def test_what_belongs_to_parts_that_are_not_installed_is_left_out() -> None:
    names = {(one["kind"], one["metadata"]["name"]) for one in _fitted(_rendered())}
    assert names == {
        ("Namespace", "kserve"),
        ("Secret", "kserve-webhook-server-cert"),
        ("Deployment", "kserve-controller-manager"),
        ("ValidatingWebhookConfiguration", "inferenceservice.serving.kserve.io"),
        ("ClusterRole", "kserve-manager-role"),
        ("ConfigMap", "inferenceservice-config"),
    }


def test_the_configuration_keeps_what_it_does_not_change() -> None:
    config = only(
        _fitted(_rendered()), ObjectName("ConfigMap", "kserve", "inferenceservice-config")
    )
    data = {name: json.loads(text) for name, text in config["data"].items()}
    assert data["deploy"] == {"defaultDeploymentMode": "Knative"}
    assert data["ingress"] == {
        "disableIstioVirtualHost": True,
        "ingressClassName": "traefik",
        "ingressDomain": "localhost",
        "urlScheme": "http",
    }
    assert data["logger"] == {}
    assert set(data) == {"deploy", "ingress", "inferenceService", "logger"}


def test_a_configuration_without_a_known_part_is_refused() -> None:
    rendered = _rendered()
    del rendered[-1]["data"]["ingress"]
    with pytest.raises(PlatformError, match="no longer holds ingress"):
        _fitted(rendered)


def test_a_failing_kustomize_is_quoted(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'no such layer' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    with pytest.raises(
        PlatformError, match="kustomize failed on KServe's manifests: no such layer"
    ):
        kserve.render(kubectl, tmp_path)
